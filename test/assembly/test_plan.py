"""Plans are read as they were written; parts that do not belong together, or are damaged, are one line."""

import gzip
import shutil

import pytest

from metric3d_ros.assembly import plan_files
from metric3d_ros.assembly.plan import load_plan
from metric3d_ros.assembly.plan_files import PLAIN, PLAN_PRECISIONS, PlanPart, plan_path
from metric3d_ros.errors import ModelError
from metric3d_ros.hub.variants import VARIANTS


@pytest.fixture
def plans(tmp_path, monkeypatch):
    """A copy of the package's plans, which is read in their place."""
    folder = tmp_path / "plans"
    shutil.copytree(plan_files.PLAN_FOLDER, folder)
    monkeypatch.setattr(
        plan_files, "plan_path", lambda variant, precision, part: plan_path(variant, precision, part, folder=folder)
    )
    return folder


def refusal():
    """Return the one line with which a damaged plan of vit_small is refused."""
    with pytest.raises(ModelError) as caught:
        load_plan("vit_small", "fp32")
    assert "\n" not in str(caught.value)
    assert "install metric3d_ros again" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("precision", [*PLAN_PRECISIONS, PLAIN])
def test_the_parts_of_every_plan_fit(variant, precision):
    plan = load_plan(variant, precision)
    assert plan.stored
    assert plan.published
    assert len(plan.sha256) == 64


@pytest.mark.parametrize("part", PlanPart)
@pytest.mark.parametrize(("variant", "precision"), [("vit_large", "fp32"), ("vit_small", "fp16"), ("vit_small", PLAIN)])
def test_parts_of_two_plans_are_refused(plans, part, variant, precision):
    shutil.copy(plan_path(variant, precision, part), plan_path("vit_small", "fp32", part, folder=plans))
    assert "damaged or of another version" in refusal()


def test_a_whole_plan_of_another_network_is_refused(plans):
    for part in PlanPart:
        shutil.copy(plan_path("vit_large", "fp32", part), plan_path("vit_small", "fp32", part, folder=plans))
    assert "it is of another network" in refusal()


@pytest.mark.parametrize("part", PlanPart)
@pytest.mark.parametrize(
    "content",
    [None, b"", b"text", b"truncated", *(gzip.compress(each) for each in (b"", bytes(99), b"\xff" * 9))],
    ids=["missing", "empty", "text", "truncated", "nothing compressed", "zeros compressed", "ones compressed"],
)
def test_a_damaged_part_is_refused(plans, part, content):
    path = plan_path("vit_small", "fp32", part, folder=plans)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100] if content == b"truncated" else content)
    refusal()
