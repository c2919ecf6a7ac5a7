"""An export ends in a complete, verified file or in none."""

import copy
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from metric3d_export import exporter
from metric3d_export.checks import guard, verify
from metric3d_export.exporter import export_model
from metric3d_export.progress import Silence
from metric3d_ros.comparison.differences import Figure
from metric3d_ros.errors import ConfigurationError, ExportError
from metric3d_ros.estimation.depth_model import open_model


@pytest.fixture(autouse=True)
def _one_small_verified_size(monkeypatch):
    """These tests are about what happens around a verification; what it covers is tested elsewhere."""
    monkeypatch.setattr(verify, "SIZES_NHW", ((1, 30, 60),))


def export(network, path, **options):
    return export_model(network, path, progress=Silence(), **options)


def read_metadata(path) -> dict[str, str]:
    properties = onnx.load(path, load_external_data=False).metadata_props
    assert len({entry.key for entry in properties}) == len(properties)
    return {entry.key: entry.value for entry in properties}


def test_a_file_that_differs_from_pytorch_is_not_kept(demo_network, tmp_path, monkeypatch):
    store = exporter.rewrite_and_store

    def store_damaged(traced, path, **options):
        name = "network.depth_model.decoder.depth_regressor.2.bias"
        damaged = {**traced.weights, name: traced.weights[name].flip(0) + 1}
        return store(traced._replace(weights=damaged), path, **options)

    monkeypatch.setattr(exporter, "rewrite_and_store", store_damaged)
    with pytest.raises(ExportError, match="differs from PyTorch: depth"):
        export(demo_network, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_file_that_was_there(demo_network, tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"the old one")

    def run_out_of_space(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporter, "rewrite_and_store", run_out_of_space)
    with pytest.raises(ExportError, match=r"No space left on device.*free some space"):
        export(demo_network, path, overwrite=True)
    assert path.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_large_weights_go_into_one_file_beside(demo_network, demo_onnx, tmp_path):
    path = tmp_path / "big.onnx"
    export(demo_network, path, inline_limit_bytes=1_000_000)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["big.onnx", "big.onnx.data"]
    assert path.stat().st_size < 1_000_000
    assert (tmp_path / "big.onnx.data").stat().st_size > 16_000_000
    onnx.checker.check_model(os.fspath(path), full_check=True)

    image = np.random.default_rng(0).integers(0, 256, (1, 60, 90, 3), np.uint8)
    outputs = [
        open_model(file, provider="cpu").infer(image, np.array([700], np.float32), outputs=["depth"])["depth"]
        for file in (path, demo_onnx)
    ]
    np.testing.assert_array_equal(*outputs)


def test_overwriting_removes_the_data_file_of_the_old_model(demo_network, tmp_path):
    path, data_path = tmp_path / "model.onnx", tmp_path / "model.onnx.data"
    data_path.touch()
    with pytest.raises(ConfigurationError, match=r"model\.onnx\.data exists"):
        export(demo_network, path)
    export(demo_network, path, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]


def test_half_weights_halve_the_file_and_compute_in_float32(demo_network, demo_onnx, tmp_path):
    path = tmp_path / "half.onnx"
    differences = export(demo_network, path, precision="fp32-half-weights", weights_file="stand-in").differences
    # First from PyTorch with the same rounded weights; then, in the guard's rooms, with the weights as they were.
    same_weights = [d for d in differences if d.output == "depth"][: len(verify.SIZES_NHW)]
    assert max(difference[Figure.MOST] for difference in same_weights) < 1e-3
    # The position embedding, which stays float32, is 6 % of so small a network's weights.
    assert path.stat().st_size < 0.54 * demo_onnx.stat().st_size
    graph = onnx.load(path).graph
    half = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    assert half
    assert {node.op_type for node in graph.node for name in node.input if name in half} == {"Cast"}
    assert read_metadata(path)["metric3d.precision"] == "fp32-half-weights"


def test_half_weights_are_judged_against_the_weights_as_they_were_on_patterns_too(demo_network, tmp_path):
    report = export(demo_network, tmp_path / "half.onnx", precision="fp32-half-weights")
    assert {departure.case.split()[0] for departure in report.departures} == {"room", "pattern"}
    on_patterns = [d for d in report.departures if d.case.startswith("pattern") and d.output == "depth"]
    assert max(d[Figure.MEDIAN] for d in on_patterns) > 1e-5  # float32 with the same weights would differ less


def test_a_disk_that_is_full_for_the_rounded_copy_is_one_line_and_leaves_nothing(demo_network, tmp_path, monkeypatch):
    def fill(path, simulated):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(guard, "simulate_half", fill)
    with pytest.raises(ExportError, match=r"could not be written .*No space left on device.*free some space"):
        export(demo_network, tmp_path / "half.onnx", precision="fp16")
    assert list(tmp_path.iterdir()) == []


def test_no_moment_has_a_model_with_the_weights_of_another(demo_network, tmp_path, monkeypatch):
    path = tmp_path / "big.onnx"
    export(demo_network, path, inline_limit_bytes=1_000_000)
    replaced = []

    def replace(source, target):
        replaced.append(Path(target).name)
        if Path(target) == path:
            raise KeyboardInterrupt
        shutil.move(source, target)

    monkeypatch.setattr(exporter.os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        export(demo_network, path, inline_limit_bytes=1_000_000, overwrite=True)
    assert replaced == ["big.onnx.data", "big.onnx"]
    assert not path.exists()


def test_a_network_that_is_not_finite_in_pytorch_is_said_to_be(demo_network, tmp_path):
    network = copy.deepcopy(demo_network)
    with torch.no_grad():
        network.depth_model.decoder.depth_regressor[2].bias.fill_(torch.inf)
    for precision in ("fp32", "int8"):
        with pytest.raises(ExportError, match=r"PyTorch itself computes a .* that is not finite: check the checkpoint"):
            export(network, tmp_path / "m.onnx", precision=precision, allow_degraded=True)
    assert list(tmp_path.iterdir()) == []


def test_the_given_network_keeps_its_weights(demo_network, tmp_path):
    weight = demo_network.depth_model.encoder.patch_embed.proj.weight
    before = weight.detach().clone()
    export(demo_network, tmp_path / "half.onnx", precision="fp32-half-weights")
    assert (weight == before).all()
    assert (weight.half() != before).any()


def test_metadata_tell_a_training_of_ones_own(demo_network, tmp_path):
    path = tmp_path / "own.onnx"
    differences = export(demo_network, path, weights_file="own.pth", training_size_hw=(224, 308)).differences
    metadata = read_metadata(path)
    assert metadata["metric3d.weights_file"] == "own.pth"
    assert metadata["metric3d.training_size_hw"] == "[224, 308]"
    assert float(metadata["metric3d.max_difference"]) == max(
        difference[Figure.LARGEST] for difference in differences if difference.output in ("depth", "confidence")
    )


def test_further_sizes_are_verified_when_asked_for(demo_network, tmp_path):
    differences = export(demo_network, tmp_path / "model.onnx", verified_sizes_hw=[(140, 56)]).differences
    assert "1 x 140 x 56" in {difference.case for difference in differences}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.pt", "does not end in .onnx: name it .*model.onnx"),
        ("nowhere/model.onnx", "does not exist"),
        ("there.onnx", "exists.*--force"),
        ("folder.onnx", "is a directory: name a file in it, such as .*folder.onnx/model.onnx"),
        (".onnx", "does not end in .onnx: name it .*/model.onnx"),
        ("reported.onnx", r"reported\.onnx\.json exists.*--force"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path, name, message):
    (tmp_path / "there.onnx").touch()
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "reported.onnx.json").touch()
    with pytest.raises(ConfigurationError, match=message):
        export(None, tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a directory in which nobody can create files")
def test_a_file_system_that_refuses_files_is_named_before_any_work():
    with pytest.raises(ConfigurationError, match=r"output directory /proc is not writable \(.+\): choose another"):
        export(None, Path("/proc/model.onnx"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_read_only_directory_is_refused_before_any_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match="is not writable"):
        export(None, tmp_path / "model.onnx")


def test_trying_whether_a_directory_can_be_written_leaves_nothing(tmp_path):
    exporter.check_output_path(tmp_path / "model.onnx", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_small_for_the_model_is_named_before_the_work(demo_network, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=5_000_000))
    monkeypatch.setattr(exporter, "make_cases", lambda *_, **__: pytest.fail("the work has begun"))
    with pytest.raises(ExportError, match=r"model\.onnx will have 16\.\d MB, and .* has 5\.0 MB left: free some space"):
        export(demo_network, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_half_way_leaves_nothing(demo_network, tmp_path):
    resource = pytest.importorskip("resource", reason="limits of files' sizes are POSIX")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, limits[1]))  # of the 16 MB that the model has
    try:
        with pytest.raises(ExportError, match=r"model\.onnx could not be written \(.*File too large.*free some space"):
            export(demo_network, tmp_path / "model.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_where_downloaded_weights_come_from_is_in_the_file_and_the_report(demo_network, tmp_path):
    path = tmp_path / "model.onnx"
    report = export(demo_network, path, weights_source="owner/name@1234", notes={"authors_code": "compared"})
    assert report.source == "owner/name@1234"
    metadata = read_metadata(path)
    assert metadata["metric3d.weights_source"] == "owner/name@1234"
    assert metadata["metric3d.authors_code"] == "compared"
    assert "metric3d.degraded" not in metadata


def test_an_unknown_precision_is_named_with_the_known_ones(demo_network, tmp_path):
    with pytest.raises(ConfigurationError, match=r"'fp8'.*fp32, fp32-half-weights, fp16, mixed, int8"):
        export(demo_network, tmp_path / "model.onnx", precision="fp8")
    assert list(tmp_path.iterdir()) == []
