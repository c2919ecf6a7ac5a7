"""Model files of tiny plans: weights within and beside them, what is refused, and copies for another machine."""

import errno
import hashlib
import os

import numpy as np
import pytest
import tiny_models
import tiny_plans
from checkpoints import write_pth
from hub_server import serve_hub, use_hub
from stand_ins import raising

from metric3d_ros.assembly import assembler, model_store
from metric3d_ros.assembly.assembler import assemble
from metric3d_ros.assembly.model_names import ModelName
from metric3d_ros.assembly.model_store import Entry, checkpoint_path, look_up, model_path, obtain, remove
from metric3d_ros.assembly.model_writer import data_path_of, stored_bytes, write_model
from metric3d_ros.assembly.tensor_files import Checkpoint
from metric3d_ros.cli import main
from metric3d_ros.engine import open_engine
from metric3d_ros.errors import CheckpointError, ConfigurationError, DownloadError, ExportError
from metric3d_ros.hub import published
from metric3d_ros.hub.published import REPOSITORY, REVISION
from metric3d_ros.hub.variants import FILES

VARIANT = "vit_small"
NAME = ModelName(VARIANT)


@pytest.fixture
def plans(tmp_path, monkeypatch):
    """Tiny plans, which stand in for those of every variant."""
    made = {precision: tiny_plans.make_plan(tmp_path, half=precision == "fp16") for precision in ("fp32", "fp16")}

    def load_plan(variant, precision):
        return made.get(precision, made["fp32"])

    monkeypatch.setattr(assembler, "load_plan", load_plan)
    monkeypatch.setattr(model_store, "load_plan", load_plan)
    return made


def a_checkpoint(**changes):
    return Checkpoint(tiny_plans.PUBLISHED | changes, "c.pth", "0" * 64)


def run_file(path):
    feeds = {"image": np.full((1, 28, 56, 3), 40, np.uint8), "focal_length": np.array([500.0], np.float32)}
    return open_engine(path, provider="cpu").run(feeds, ["depth", "normal"])


def test_weights_beside_a_model_begin_on_pages_and_give_what_weights_within_it_give(plans, tmp_path):
    within, beside = tmp_path / "within.onnx", tmp_path / "beside.onnx"
    assemble(VARIANT, a_checkpoint(), within)
    assert not data_path_of(within).exists()
    assert assemble(VARIANT, a_checkpoint(), beside, inline_limit=0).max_difference == 0
    content = data_path_of(beside).read_bytes()
    assert np.frombuffer(content[:4], "<f4") == np.float32(tiny_models.METRES_PER_LEVEL)
    assert np.frombuffer(content[4096:], "<f4").tolist() == list(tiny_models.NORMAL)
    expected = run_file(within)
    # 40 levels of 0.05 m at half the canonical focal length.
    np.testing.assert_allclose(expected["depth"], 1.0, rtol=1e-6)
    for name, array in run_file(beside).items():
        np.testing.assert_array_equal(array, expected[name])
    assert sorted(file.name for file in tmp_path.glob("beside*")) == ["beside.onnx", "beside.onnx.data"]


def test_float16_weights_take_half_the_bytes(plans, tmp_path):
    assert stored_bytes(plans["fp16"]) * 2 == stored_bytes(plans["fp32"]) == 16
    metadata = assemble(VARIANT, a_checkpoint(), tmp_path / "half.onnx", precision="fp16", inline_limit=0)
    assert 0 < metadata.max_difference < 2**-11
    assert np.frombuffer(data_path_of(tmp_path / "half.onnx").read_bytes()[:2], "<f2") == np.float16(0.05)


def test_a_weight_of_another_shape_than_the_plan_has_is_an_error(plans, tmp_path):
    with pytest.raises(ValueError, match=r"metres_per_level_as_stored became \(2,\), expected \(1,\)"):
        write_model(plans["fp32"], tmp_path / "m.onnx", lambda tensor: np.zeros(2))


@pytest.mark.parametrize(
    ("precision", "scale", "error", "message"),
    [
        ("int8", 0.05, ConfigurationError, "precision is 'int8', expected fp32 or fp16: make others with `metric3d"),
        ("fp16", 1e6, ExportError, "metres_per_level_as_stored of c.pth exceeds 65504.*use precision fp32"),
        ("fp32", 3e38, CheckpointError, "the published network computes a depth that is not finite"),
        ("fp16", 1e-7, ExportError, "the assembled model in fp16 differs from the published operations: depth"),
    ],
)
def test_what_cannot_be_made_is_one_line_and_nothing_is_kept(plans, tmp_path, precision, scale, error, message):
    target = tmp_path / "made" / "m.onnx"
    target.parent.mkdir()
    checkpoint = a_checkpoint(**{"depth.scale": np.array([scale], np.float32)})
    with pytest.raises(error, match=message) as caught:
        assemble(VARIANT, checkpoint, target, precision=precision)
    assert "\n" not in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_a_folder_in_the_models_place_is_one_line(plans, tmp_path):
    target = tmp_path / "m.onnx"
    target.mkdir()
    with pytest.raises(ExportError, match=r"m\.onnx could not be written \(.*\): free some space, or set XDG_CACHE"):
        assemble(VARIANT, a_checkpoint(), target)


@pytest.fixture
def hub(plans, tmp_path, monkeypatch):
    """A hub with the tiny checkpoint as the published one, and an empty cache."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    content = write_pth(tmp_path / "c.pth", tiny_plans.PUBLISHED).read_bytes()
    monkeypatch.setitem(published.SHA256, VARIANT, hashlib.sha256(content).hexdigest())
    with serve_hub() as server:
        use_hub(monkeypatch, server.url)
        server.files[f"{REPOSITORY}/resolve/{REVISION}/{FILES[VARIANT]}"] = content
        yield server


def test_a_fetched_model_is_copied_with_the_data_file_that_it_names(hub, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(model_store, "assemble", lambda *words, **options: assemble(*words, **options, inline_limit=0))
    output = tmp_path / "robot" / "copy.onnx"
    output.parent.mkdir()
    words = ["fetch", VARIANT, "--precision", "fp16", "--output", str(output)]
    assert main(words) == 0
    assert f"{output}: vit_small:fp16 with confidence, depth, normal" in capsys.readouterr().out
    data = model_path(ModelName(VARIANT, "fp16")).name + ".data"
    assert sorted(file.name for file in output.parent.iterdir()) == sorted([output.name, data])
    np.testing.assert_allclose(run_file(output)["depth"], 1.0, rtol=1e-3)

    assert main(words) == 1
    assert "copy.onnx exists: choose another name, or overwrite it with --force" in capsys.readouterr().err
    output.write_bytes(b"an older model")
    assert main([*words, "--force"]) == 0
    assert output.stat().st_size > 100
    assert main(["fetch", "vit_small:fp16", "--remove"]) == 0
    assert "removed vit_small:fp16 and its download" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("model.pt", "model.pt does not end in .onnx: name it"),
        ("nowhere/model.onnx", "does not exist: create it, or choose another"),
        ("folder.onnx", "folder.onnx is a directory: name a file in it"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_downloaded(hub, tmp_path, capsys, output, message):
    (tmp_path / "folder.onnx").mkdir()
    assert main(["fetch", VARIANT, "--output", str(tmp_path / output)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert hub.requests == []


def test_a_copy_that_finds_no_space_is_one_line_and_leaves_nothing(hub, tmp_path, capsys, monkeypatch):
    obtain(NAME, lambda text, share: None)
    disk_full = raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    monkeypatch.setattr("metric3d_ros.commands.fetch.shutil.copyfileobj", disk_full)
    output = tmp_path / "robot" / "copy.onnx"
    output.parent.mkdir()
    assert main(["fetch", VARIANT, "--output", str(output)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "copy.onnx cannot be written (No space left on device): free some space" in line
    assert list(output.parent.iterdir()) == []


def test_a_model_of_another_version_or_with_a_damaged_record_is_made_anew(hub, plans, tmp_path):
    steps = []
    path = obtain(NAME, lambda text, share: None)
    assert look_up(NAME) is Entry.WHOLE
    plans["fp32"].sha256 = "of a newer version"
    assert look_up(NAME) is Entry.OUTDATED
    obtain(NAME, lambda text, share: steps.append(text))
    assert f"{path} is made by another version: it is made anew" in steps
    assert look_up(NAME) is Entry.WHOLE
    (record,) = path.parent.glob("*.record.json")
    for content in (b"", b"[]", b"{}", b'{"files": 3}', b"\xff", b"[" * 100_000):
        record.write_bytes(content)
        assert look_up(NAME) is Entry.DAMAGED, content[:20]


def test_a_download_in_the_cache_that_is_not_the_published_one_is_replaced(hub):
    steps = []
    path = checkpoint_path(NAME)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\0 another checkpoint")
    obtain(NAME, lambda text, share: steps.append(text))
    assert f"{path} is not what was published: it is not used" in steps
    assert hashlib.sha256(path.read_bytes()).hexdigest() == published.SHA256[VARIANT]


def test_a_download_that_the_disk_changes_is_refused(hub, tmp_path, monkeypatch):
    def store_another(file, target, **_):
        write_pth(target, {"a": np.zeros(3, np.float32)})

    checkpoint_path(NAME).parent.mkdir(parents=True)
    monkeypatch.setattr(model_store, "download", store_another)
    with pytest.raises(CheckpointError, match=r"has SHA-256 .*, expected .*: it was damaged on this machine; run"):
        obtain(NAME, lambda text, share: None)
    assert look_up(NAME) is Entry.MISSING


def test_what_cannot_be_removed_is_named(hub, monkeypatch):
    path = obtain(NAME, lambda text, share: None)
    with monkeypatch.context() as patched:
        patched.setattr(type(path), "unlink", raising(PermissionError(errno.EACCES, os.strerror(errno.EACCES))))
        with pytest.raises(DownloadError, match=r"cannot be removed \(Permission denied\): change its folder's"):
            remove(NAME, lambda text, share: None)
    assert look_up(NAME) is Entry.WHOLE
