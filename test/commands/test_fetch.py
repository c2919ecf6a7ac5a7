"""`metric3d fetch` brings a ready-made model that the estimator runs, or says in one line why not."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import onnx
import pytest
import tiny_models
from hub_server import serve_hub

from metric3d_ros.camera import Camera
from metric3d_ros.cli import main
from metric3d_ros.commands import fetch
from metric3d_ros.commands.fetch import MODELS
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator

SMALL, GIANT = MODELS["vit_small"], MODELS["vit_giant2"]


def resolved(model, name: str) -> str:
    return f"{model.repository}/resolve/{model.revision}/onnx/{name}"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub with models of the real signatures, to whose hashes the table is adapted."""
    made = tmp_path / "made"
    made.mkdir()
    with serve_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        for half, name in ((False, "model.onnx"), (True, "model_fp16.onnx")):
            content = tiny_models.save_onnx_community_model(made / name, half=half).read_bytes()
            server.files[resolved(SMALL, name)] = content
            hashes = {**MODELS["vit_small"].sha256, name: hashlib.sha256(content).hexdigest()}
            monkeypatch.setitem(MODELS, "vit_small", dataclasses.replace(SMALL, sha256=hashes))
        yield server


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "here"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.mark.parametrize(
    ("arguments", "name"), [([], "vit_small.onnx"), (["--precision", "fp16"], "vit_small_fp16.onnx")]
)
def test_a_fetched_model_estimates(hub, folder, capsys, arguments, name):
    assert main(["fetch", "vit_small", *arguments]) == 0
    assert [path.name for path in folder.iterdir()] == [name]
    printed = capsys.readouterr().out
    assert "onnx-community" in printed
    assert "depth, normal, normal_confidence" in printed
    assert str(folder / name) in printed
    rgb = np.random.default_rng(1).integers(1, 255, (50, 64, 3), np.uint8)
    camera = Camera.from_focal(64, 50, focal_px=250)
    estimate = Estimator(open_model(name, provider="cpu")).estimate(rgb, camera)
    expected = rgb.mean(axis=2) * tiny_models.METRES_PER_LEVEL * 0.25
    np.testing.assert_allclose(estimate.depth_m, expected, rtol=3e-3)


@pytest.fixture
def giant(hub, monkeypatch, tmp_path):
    """The hub with a model whose weights lie beside it."""
    whole = tiny_models.save_onnx_community_model(tmp_path / "whole.onnx")
    apart = tmp_path / "apart" / "model_fp16.onnx"
    apart.parent.mkdir()
    onnx.save(onnx.load(whole), apart, save_as_external_data=True, location="model_fp16.onnx_data", size_threshold=0)
    for file in apart.parent.iterdir():
        hub.files[resolved(GIANT, file.name)] = file.read_bytes()
    monkeypatch.setitem(MODELS, "vit_giant2", dataclasses.replace(GIANT, sha256={}))
    return hub


FETCH_GIANT = ["fetch", "vit_giant2", "--precision", "fp16", "-o", "giant.onnx"]


def test_weights_in_a_file_of_their_own_keep_its_name_beside_the_model(giant, folder):
    assert main(FETCH_GIANT) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["giant.onnx", "model_fp16.onnx_data"]


def test_a_second_attempt_keeps_the_file_that_the_first_one_finished(giant, folder):
    weights = giant.files.pop(resolved(GIANT, "model_fp16.onnx_data"))
    assert main(FETCH_GIANT) == 1
    assert not (folder / "giant.onnx").exists()
    giant.files[resolved(GIANT, "model_fp16.onnx_data")] = weights
    del giant.requests[:]
    assert main(FETCH_GIANT) == 0
    assert {path.rpartition("/")[2] for path, _ in giant.requests} == {"model_fp16.onnx_data"}
    assert sorted(path.name for path in folder.iterdir()) == ["giant.onnx", "model_fp16.onnx_data"]


def test_an_interrupted_fetch_continues(hub, folder, monkeypatch, capsys):
    monkeypatch.setattr("metric3d_ros.hub.downloads._WAITS_S", ())
    hub.cut_after = [100]
    assert main(["fetch", "vit_small"]) == 1
    assert "it continues there" in capsys.readouterr().err
    assert main(["fetch", "vit_small"]) == 0
    assert hub.ranges_asked == [None, "bytes=100-"]
    assert [path.name for path in folder.iterdir()] == ["vit_small.onnx"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vit_tiny"], "variant is 'vit_tiny', expected one of vit_small, vit_large, vit_giant2"),
        (["convnext_tiny"], "metric3d export"),
        (["vit_small", "--precision", "int8"], "precision is 'int8', expected one of fp32, fp16"),
        (["vit_small", "-o", "model.pt"], "does not end in .onnx"),
        (["vit_small", "-o", "no/model.onnx"], "output directory no does not exist"),
        (["vit_small", "-o", "there.onnx"], "exists: choose another name, or overwrite it with --force"),
        (["vit_small", "-o", "folder.onnx"], "is a directory"),
        (["vit_large"], "answered 404"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(hub, folder, capsys, arguments, message):
    (folder / "there.onnx").touch()
    (folder / "folder.onnx").mkdir()
    assert main(["fetch", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("metric3d fetch: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["folder.onnx", "there.onnx"]


def test_force_overwrites(hub, folder):
    (folder / "vit_small.onnx").write_bytes(b"old")
    assert main(["fetch", "vit_small", "--force"]) == 0
    assert (folder / "vit_small.onnx").read_bytes() == hub.files[resolved(SMALL, "model.onnx")]


def test_every_file_is_pinned_to_a_commit():
    for model in fetch.MODELS.values():
        for precision in fetch.PRECISIONS:
            for file in model.files(precision):
                assert len(file.revision) == 40
                assert file.sha256 is None or len(file.sha256) == 64


def test_two_processes_that_fetch_the_same_both_succeed(hub, folder, monkeypatch):
    """The other one gives the file its name between our download and that."""
    real = fetch.download

    def overtaken(file, target, **options):
        sha256 = real(file, target, **options)
        target.rename(folder / "vit_small.onnx")
        return sha256

    monkeypatch.setattr(fetch, "download", overtaken)
    assert main(["fetch", "vit_small"]) == 0
    assert [path.name for path in folder.iterdir()] == ["vit_small.onnx"]
