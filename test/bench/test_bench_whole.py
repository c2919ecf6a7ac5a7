"""`metric3d bench` with the parts that need more than a model: PyTorch, the export tool and the node."""

import pytest
import tiny_models
from stand_ins import needs_torch

from metric3d_ros.bench import candidates, comparison, models, plan
from metric3d_ros.bench.alternation import Pace
from metric3d_ros.bench.comparison import Comparison, compare_and_time, make_task
from metric3d_ros.bench.gpu import worker
from metric3d_ros.bench.models import OPTIMISED, PLAIN, make_model
from metric3d_ros.bench.plan import QUICK_SIZES_HW, SIZES_HW, Request, make_plan
from metric3d_ros.errors import ExportError, InferenceError, ProviderError

SIZE_HW = (56, 84)
VARIANT = "lite_demo"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with both float32 files of a small network, as `make_model` keeps them."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(folder))
        made = {"variant": VARIANT, "models": [f"{form}:fp32" for form in (PLAIN, OPTIMISED)], "sizes": ["56x84"]}
        worker.make_models("models", made | {"folder": str(models.models_folder())}, lambda row: None)
    return folder


@pytest.fixture
def request_for(cache, monkeypatch):
    """Return what asks for the small network in a cache that has it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def ask(**changes):
        facts = {"variants": [VARIANT], "sizes_hw": [SIZE_HW], "precisions": ["fp32"], "providers": ["cpu"]}
        return Request(**(facts | changes))

    return ask


@needs_torch
def test_pytorch_computes_what_the_files_do_and_is_timed_with_its_memory_and_work(request_for):
    made = make_plan(request_for(), log=pytest.fail)
    (planned,) = made.comparisons
    assert [each.label for each in planned.members] == [
        "plain, fp32, cpu",
        "optimised, fp32, cpu",
        "PyTorch, fp32, cpu",
    ]
    pytorch = Comparison(title="t", size_hw=SIZE_HW, members=[planned.members[0], planned.members[2]])
    task = make_task(SIZE_HW, threads=1)
    pace = Pace(seconds=0.0, least=2, most=2, warm_up=1)
    compared = compare_and_time(pytorch, task, pace=pace, tolerance=1e-3, log=lambda _: None)
    assert compared.refused == []
    assert compared.outputs == ["confidence", "depth", "normals"]
    plain, torch = compared.timed
    assert all(each.acceptable for each in torch.differences)
    assert torch.footprint is None
    assert torch.peak_memory_mib > 50
    assert torch.total.count == 2
    assert torch.stages.keys() == {"infer"}
    assert compared.gflop > 0.1
    assert plain.footprint.peak_memory_mib > 10


@needs_torch
def test_a_network_that_pytorch_does_not_have_is_refused_with_its_last_line(request_for):
    member = make_plan(request_for(), log=pytest.fail).comparisons[0].members[-1]
    unknown = candidates.Candidate(**(vars(member) | {"model": "vit_tall"}))
    with pytest.raises(InferenceError, match=r"^PyTorch could not be timed: .*vit_tall") as caught:
        candidates.open_runner(unknown, make_task(SIZE_HW, threads=1))
    assert "\n" not in str(caught.value)


@needs_torch
def test_a_baseline_and_a_precision_that_cannot_be_made_are_planned_and_left_out(request_for, tmp_path, monkeypatch):
    def refuse(variant, *, precision, form, log, make=make_model):
        if precision == "int8":
            raise ExportError("int8 needs images")
        return make(variant, precision=precision, form=form, log=log)

    monkeypatch.setattr(plan, "make_model", refuse)
    ours = tiny_models.save_contract_model(tmp_path / "ours.onnx")
    asked = request_for(precisions=["int8", "fp32"], against=ours, pytorch=False)
    made = make_plan(asked, log=pytest.fail)
    assert [(each.label, each.reason) for each in made.left_out] == [(f"{VARIANT} int8", "int8 needs images")]
    alone, against = made.comparisons
    assert [each.name for each in alone.members] == ["plain", "optimised"]
    assert against.title == f"{VARIANT} at 56x84, CPU, against ours.onnx"
    assert [each.name for each in against.members] == ["ours.onnx", "optimised"]


@needs_torch
def test_quick_takes_fewer_sizes_and_the_first_precision(request_for):
    made = make_plan(request_for(sizes_hw=None, pytorch=False), log=pytest.fail)
    assert tuple(each.size_hw for each in made.comparisons) == SIZES_HW
    made = make_plan(request_for(sizes_hw=None, precisions=None, quick=True, pytorch=False), log=pytest.fail)
    assert tuple(each.size_hw for each in made.comparisons) == QUICK_SIZES_HW
    assert {each.precision for each in made.comparisons[0].members} == {"fp32"}


def test_a_machine_on_which_no_provider_works_is_an_error(monkeypatch):
    def refuse(model, *, provider):
        raise ProviderError(f"{provider} is broken")

    monkeypatch.setattr(plan, "open_model", refuse)
    with pytest.raises(ProviderError, match="cpu is broken"):
        make_plan(Request(), log=lambda _: None)


@pytest.fixture
def export_tool(tmp_path, monkeypatch):
    """Return what puts a shell script in the export tool's place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "missing_for_export", lambda: None)

    def put(code):
        script = tmp_path / "export.sh"
        script.write_text(f"#!/bin/sh\n{code}\n")
        script.chmod(0o755)
        monkeypatch.setattr(models.sys, "executable", str(script))

    return put


@pytest.mark.parametrize(("form", "plain"), [(PLAIN, True), (OPTIMISED, False)])
def test_a_model_is_made_once_by_the_export_tool(export_tool, tmp_path, form, plain):
    export_tool(f'echo "$@" >> {tmp_path}/words; echo model > "$5"')
    told = []
    path = make_model(VARIANT, precision="fp16", form=form, log=told.append)
    assert path.read_text() == "model\n"
    assert told == [f"making {VARIANT}-{form}-fp16.onnx (kept in {path.parent}) ..."]
    assert make_model(VARIANT, precision="fp16", form=form, log=told.append) == path
    (words,) = (tmp_path / "words").read_text().splitlines()
    assert words.startswith(f"-m metric3d_export {VARIANT} --output {path} --precision fp16 --stand-in-weights")
    assert ("--no-optimize" in words) is plain


def test_an_export_that_fails_is_one_line(export_tool):
    export_tool("echo first >&2; echo 'no space left' >&2; exit 1")
    with pytest.raises(ExportError, match=r"^lite_demo could not be made as plain fp16: no space left$"):
        make_model(VARIANT, precision="fp16", form=PLAIN, log=lambda _: None)


def test_more_runs_warm_up_a_device_than_a_cpu(tmp_path, monkeypatch):
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    facts = {"model": str(model), "provider": "cpu", "precision": "fp32", "variant": "tiny", "weights_sha256": "0" * 64}
    members = [candidates.Candidate(name=name, stand_in_weights=False, **facts) for name in ("a", "b")]
    paces = []

    def note(runners, *, pace, time_in_turn=comparison.time_in_turn, **options):
        paces.append(pace)
        return time_in_turn(runners, pace=pace, **options)

    def fail(*_, **__):
        raise InferenceError("it ended with 9")

    monkeypatch.setattr(comparison, "time_in_turn", note)
    monkeypatch.setattr(comparison, "measure_footprint", fail)
    pace = Pace(seconds=0.0, least=2, most=2, warm_up=1)
    compare = Comparison(title="tiny", size_hw=SIZE_HW, members=members)
    for on_host in (("cpu",), ()):
        monkeypatch.setattr(comparison, "HOST_PROVIDERS", on_host)
        task = make_task(SIZE_HW, threads=1)
        compared = compare_and_time(compare, task, pace=pace, tolerance=1e-3, log=lambda _: None)
        assert [(each.label, each.reason, each.differs) for each in compared.refused] == [
            ("memory of a, fp32, cpu", "it ended with 9", False),
            ("memory of b, fp32, cpu", "it ended with 9", False),
        ]
        assert [each.peak_memory_mib for each in compared.timed] == [None, None]
    assert [each.warm_up for each in paces] == [1, comparison.GPU_WARM_UP]
