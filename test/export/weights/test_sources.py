"""Published weights come from the hub once, are checked, and a failure says what to do."""

import hashlib
import io

import onnx
import pytest
import torch
from hub_server import serve_hub, use_hub

from metric3d_export.network.variants import VARIANTS
from metric3d_export.weights.checkpoints import stand_in_weights
from metric3d_export.weights.sources import published_file
from metric3d_ros.cli import main
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.hub import published
from metric3d_ros.hub.published import REPOSITORY, REVISION

VARIANT = "convnext_tiny"
RESOLVED = f"{REPOSITORY}/resolve/{REVISION}/convtiny_hourglass_v1.pth"


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save({"model_state_dict": dict(stand_in_weights(VARIANT).tensors)}, buffer)
    return buffer.getvalue()


@pytest.fixture
def hub(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(published.SHA256, VARIANT, hashlib.sha256(checkpoint).hexdigest())
    with serve_hub() as server:
        use_hub(monkeypatch, server.url)
        server.files[RESOLVED] = checkpoint
        yield server


def export(output, *arguments) -> int:
    return main(["export", VARIANT, "-o", str(output), *arguments])


def test_every_published_variant_has_a_pinned_file():
    published = [name for name, row in VARIANTS.items() if row.published_file is not None]
    assert published == ["vit_small", "vit_large", "vit_giant2", "convnext_tiny", "convnext_large"]
    for name in published:
        file = published_file(name)
        assert file.path == VARIANTS[name].published_file
        assert len(file.revision) == 40
        assert len(file.sha256) == 64
    assert len({published_file(name).sha256 for name in published}) == 5


def test_a_variant_that_is_not_published_says_so():
    with pytest.raises(ConfigurationError, match=r"none of vit_demo are published.*--checkpoint FILE"):
        published_file("vit_demo")


def test_published_weights_are_interrupted_continued_and_exported(hub, checkpoint, tmp_path, monkeypatch, capsys):
    output = tmp_path / "model.onnx"
    monkeypatch.setattr("metric3d_ros.hub.downloads._WAITS_S", ())
    hub.cut_after = [40_000_000]
    assert export(output) == 1
    error = capsys.readouterr().err
    assert "broke off after 40.0 MB" in error
    assert "--checkpoint FILE" in error
    assert error.strip().count("\n") == 0
    assert not output.exists()

    assert export(output, "--no-benchmark") == 0
    assert hub.ranges_asked == [None, "bytes=40000000-"]
    assert f"taking convtiny_hourglass_v1.pth of {REPOSITORY}@{REVISION}" in capsys.readouterr().out
    metadata = {entry.key: entry.value for entry in onnx.load(output).metadata_props}
    assert metadata["metric3d.weights_file"] == "convtiny_hourglass_v1.pth"
    assert metadata["metric3d.weights_source"] == f"{REPOSITORY}@{REVISION}"
    assert metadata["metric3d.weights_sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert main(["info", str(output)]) == 0
    assert f"weights source {REPOSITORY}@{REVISION}" in capsys.readouterr().out


def test_a_damaged_cache_is_named(hub, tmp_path, capsys):
    path = published_file(VARIANT).cached_path
    path.parent.mkdir(parents=True)
    torch.save({"depth_model.encoder.x": torch.zeros(1)}, path)
    assert export(tmp_path / "model.onnx") == 1
    assert "delete it and run the command again" in capsys.readouterr().err
    assert hub.requests == []


def test_what_is_missing_on_the_hub_can_be_brought_by_hand(hub, tmp_path, capsys):
    hub.files.clear()
    assert export(tmp_path / "model.onnx") == 1
    error = capsys.readouterr().err
    assert "answered 404" in error
    assert f"get {hub.url}/{REPOSITORY}/blob/{REVISION}/convtiny_hourglass_v1.pth by hand" in error
    assert "give it with --checkpoint FILE" in error


def test_offline_says_what_to_do(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert export(tmp_path / "model.onnx") == 1
    assert "give it with --checkpoint FILE" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_refused_before_the_download(hub, tmp_path):
    assert export(tmp_path / "nowhere" / "model.onnx") == 1
    assert hub.requests == []
