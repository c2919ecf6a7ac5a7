"""A published name becomes a checked file in the cache, once; whatever goes wrong is one line and leaves nothing."""

import hashlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from checkpoints import made_up_weights, write_pth
from hub_server import serve_hub, use_hub

from metric3d_ros.assembly import model_store
from metric3d_ros.assembly.assembler import assemble
from metric3d_ros.assembly.model_names import ModelName, parse_model_name
from metric3d_ros.assembly.model_store import Entry, checkpoint_path, look_up, model_path, obtain, remove
from metric3d_ros.assembly.tensor_files import Checkpoint, read_checkpoint
from metric3d_ros.cli import main
from metric3d_ros.errors import CheckpointError, ConfigurationError, ExportError, ModelError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.files.exclusive import hold_file
from metric3d_ros.hub import published
from metric3d_ros.hub.downloads import PART_SUFFIX, hash_file
from metric3d_ros.hub.published import REPOSITORY, REVISION
from metric3d_ros.hub.variants import FILES

VARIANT = "vit_small"
NAME = ModelName(VARIANT)
RESOLVED = f"{REPOSITORY}/resolve/{REVISION}/{FILES[VARIANT]}"


@pytest.fixture(scope="module")
def weights():
    return made_up_weights(VARIANT)


@pytest.fixture(scope="module")
def checkpoint(weights, tmp_path_factory):
    return write_pth(tmp_path_factory.mktemp("checkpoint") / "c.pth", weights)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    for name in ("HF_HOME", "HF_HUB_CACHE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(checkpoint, cache, monkeypatch):
    content = checkpoint.read_bytes()
    monkeypatch.setitem(published.SHA256, VARIANT, hashlib.sha256(content).hexdigest())
    with serve_hub() as server:
        use_hub(monkeypatch, server.url)
        server.files[RESOLVED] = content
        yield server


def test_a_name_is_downloaded_assembled_checked_and_kept(hub, cache, tmp_path, capsys, monkeypatch):
    steps = []
    model = open_model(VARIANT, provider="cpu", report=lambda text, share: steps.append((text, share)))
    assert model.outputs == {"depth", "confidence", "normal", "normal_confidence"}
    assert 0 <= model.metadata.max_difference < 1e-2
    shares = [share for text, share in steps if text == "downloading vit_small"]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any("commercial use" in text for text, _ in steps)
    assert steps[-1] == (f"{NAME} is ready in {model_path(NAME)}", None)
    assert look_up(NAME) is Entry.WHOLE

    hub.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["fetch", VARIANT, "-o", str(tmp_path / "copy.onnx")]) == 0
    assert "use it with model:=" in capsys.readouterr().out
    assert hub.requests == []
    assert main(["info", str(tmp_path / "copy.onnx")]) == 0
    shown = capsys.readouterr().out
    assert "without PyTorch" in shown
    assert "from the published operations" in shown
    assert "plan sha256" in shown
    assert f"{REPOSITORY}@{REVISION}" in shown
    assert main(["models"]) == 0
    assert str(model_path(NAME)) in capsys.readouterr().out

    with model_path(NAME).open("r+b") as file:  # a bit that has tipped over
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    assert look_up(NAME) is Entry.DAMAGED
    steps.clear()
    obtain(NAME, lambda text, share: steps.append((text, share)))
    assert "is damaged: it is made anew" in steps[0][0]
    assert look_up(NAME) is Entry.WHOLE
    assert hub.requests == []

    assert main(["fetch", VARIANT, "--remove"]) == 0
    assert look_up(NAME) is Entry.MISSING
    assert not checkpoint_path(NAME).exists()
    assert main(["fetch", VARIANT]) == 1
    error = capsys.readouterr().err
    assert "HF_HUB_OFFLINE forbids downloads" in error
    assert f"copy it to {checkpoint_path(NAME)}" in error
    assert [file.name for file in model_path(NAME).parent.iterdir()] == [".vit_small.onnx.lock"]


def test_the_cache_of_the_hubs_own_tools_is_used(hub, cache, checkpoint, monkeypatch):
    snapshot = cache / "huggingface" / "hub" / "models--JUGGHM--Metric3D" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (snapshot / FILES[VARIANT]).symlink_to(checkpoint)
    monkeypatch.setattr("metric3d_ros.assembly.model_store.assemble", _stop)
    with pytest.raises(ModelError, match=r"stopped with .* tensors"):
        obtain(NAME, lambda text, share: None)
    assert hub.requests == []


def test_a_model_that_is_damaged_at_once_again_is_refused(hub, cache, checkpoint, monkeypatch):
    def write_and_lose_a_bit(variant, checkpoint, path, **_):
        path.write_bytes(b"model")
        monkeypatch.setattr(model_store, "hash_file", hash_twice(path))

    def hash_twice(path):
        hashes = iter(["as it was written"])
        return lambda file: next(hashes, "as it is read") if file == path else hash_file(file)

    monkeypatch.setattr(model_store, "assemble", write_and_lose_a_bit)
    with pytest.raises(ModelError, match=r"differs from what was written a moment ago.*set XDG_CACHE_HOME") as caught:
        obtain(NAME, lambda text, share: None)
    assert "\n" not in str(caught.value)


def _stop(variant, checkpoint, *_, **__):
    raise ModelError(f"stopped with {len(checkpoint.tensors)} tensors")


def test_two_processes_download_once(hub, cache):
    program = (
        "import sys; from metric3d_ros.hub import published; published.SHA256['vit_small'] = sys.argv[1]\n"
        "from metric3d_ros.estimation.depth_model import open_model; open_model('vit_small', provider='cpu')"
    )
    command = [sys.executable, "-c", program, published.SHA256[VARIANT]]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert hub.ranges_asked == [None]
    assert sum("waiting for another process that makes vit_small" in error for error in errors) == 1


@pytest.mark.parametrize("is_there", [True, False], ids=["a model", "part of a checkpoint"])
def test_a_model_is_not_removed_while_another_process_makes_it(cache, capsys, is_there):
    path, checkpoint = model_path(NAME), checkpoint_path(NAME)
    for folder in (path.parent, checkpoint.parent):
        folder.mkdir(parents=True, exist_ok=True)
    (path if is_there else checkpoint.with_name(f"{checkpoint.name}.1{PART_SUFFIX}")).write_bytes(b"")
    other = hold_file(path.with_name(f".{path.name}.lock"), on_wait=lambda: None)
    other.__enter__()
    steps = []

    def finish(text, share):
        steps.append((text, path.exists()))
        path.write_bytes(b"a whole model")
        other.__exit__(None, None, None)

    assert remove(NAME, finish) == len(b"a whole model")
    assert steps == [("waiting for another process that makes vit_small", is_there)]
    assert not path.exists()
    assert main(["fetch", VARIANT, "--remove"]) == 0
    assert "is not in the cache" in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["file", "file/more", "n" * 300])
def test_a_cache_that_cannot_be_written_says_what_to_do(hub, tmp_path, monkeypatch, capsys, folder):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / folder))
    assert main(["fetch", VARIANT]) == 1
    error = capsys.readouterr().err.strip()
    assert "set XDG_CACHE_HOME to a folder that can" in error
    assert error.count("\n") == 0
    assert main(["models"]) == 0
    assert main(["fetch", VARIANT, "--remove"]) == 0


def test_a_cache_of_the_hubs_own_tools_that_has_no_such_name_is_none(hub, monkeypatch):
    for folder in ("~nobody_of_that_name/hub", "n" * 300, "/etc/passwd"):
        monkeypatch.setenv("HF_HUB_CACHE", folder)
        assert published.find_in_hub_cache(published.published_checkpoint(VARIANT)) is None


def test_a_disk_without_room_for_the_model_is_said_and_stays_as_it_is(checkpoint, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=140_000_000))
    with pytest.raises(ExportError, match=r"has 140 MB free.*need 150 MB: free some space, or set XDG_CACHE_HOME"):
        assemble(VARIANT, read_checkpoint(checkpoint), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch, capsys):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a number that no user has
    for command in (["fetch", VARIANT], ["models"]):
        assert main(command) == 1
        error = capsys.readouterr().err.strip()
        assert "this user has no home: set XDG_CACHE_HOME" in error
        assert error.count("\n") == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("depth_model.encoder.cls_token"), r"cls_token \(1, 1, 384\) is missing; it fits none"),
        (lambda w: w.update({"depth_model.encoder.cls_token": np.zeros((1, 1, 3), np.float32)}), r"shape \(1, 1, 3\)"),
        (lambda w: w.update({"depth_model.encoder.cls_token": np.zeros((1, 1, 384), np.int64)}), "has type int64"),
        (lambda w: w.update({"depth_model.encoder.cls_token": np.full((1, 1, 384), np.nan, np.float32)}), "NaN"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_written(weights, tmp_path, change, message):
    changed = dict(weights)
    change(changed)
    with pytest.raises(CheckpointError, match=message):
        assemble(VARIANT, Checkpoint(changed, "c.pth", "0" * 64), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_variant_are_named(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"does not fit convnext_tiny: .*; it fits vit_small"):
        assemble("convnext_tiny", read_checkpoint(checkpoint), tmp_path / "m.onnx")


def test_names_and_their_precisions():
    assert parse_model_name("vit_small") == ModelName("vit_small", "fp32")
    assert parse_model_name("convnext_large:fp16") == ModelName("convnext_large", "fp16")
    assert parse_model_name("my/vit_small.onnx") is None
    assert parse_model_name("demo") is None
    with pytest.raises(ConfigurationError, match=r"vit_small:int3.*:fp32 or :fp16.*metric3d export"):
        parse_model_name("vit_small:int3")


def test_a_precision_in_the_name_and_another_option_contradict_each_other(capsys):
    assert main(["fetch", "vit_small:fp16", "--precision", "fp32"]) == 1
    assert "vit_small:fp16 and --precision fp32 contradict each other" in capsys.readouterr().err


def test_an_unknown_name_lists_the_known_ones(capsys):
    assert main(["fetch", "vit_smal"]) == 1
    assert "vit_small, vit_small:fp16, vit_large" in capsys.readouterr().err
    with pytest.raises(
        ModelError, match=r"vit_smal does not exist: name a file, 'demo', or a published model \(vit_small"
    ):
        open_model("vit_smal")


def test_the_demo_model_needs_no_fetching(capsys):
    assert main(["fetch", "demo"]) == 1
    assert "model demo comes with this package: use it with model:=demo" in capsys.readouterr().err
