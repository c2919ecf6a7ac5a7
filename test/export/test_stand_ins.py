"""Models for timing: what is written in seconds has the operators and the outputs of what an export writes."""

import json

import numpy as np
import onnx
import pytest

from metric3d_export import matrix_speed, stand_ins
from metric3d_export.pytorch_runner import count_gflop
from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand_ins")
    models = [("plain", "fp32"), ("optimised", "fp32"), ("optimised", "fp16"), ("optimised", "fp32-half-weights")]
    seconds = stand_ins.make_stand_ins("vit_demo", models, folder)
    assert set(seconds) == {f"vit_demo-{form}-{precision}.onnx" for form, precision in models}
    return folder


def estimate(path):
    image = np.random.default_rng(0).integers(0, 256, (56, 84, 3), np.uint8)
    return Estimator(open_model(path, provider="cpu", threads=1)).estimate(
        image, Camera.from_focal(84, 56, focal_px=80)
    )


def operators(path):
    return [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]


def test_optimised_float32_is_what_an_export_writes(folder, demo_onnx):
    path = folder / "vit_demo-optimised-fp32.onnx"
    assert operators(path) == operators(demo_onnx)
    ours, exported = estimate(path), estimate(demo_onnx)
    np.testing.assert_array_equal(ours.depth_m, exported.depth_m)
    np.testing.assert_array_equal(ours.normals, exported.normals)


def test_forms_and_precisions_hold_the_same_network(folder):
    expected = estimate(folder / "vit_demo-plain-fp32.onnx").depth_m
    assert operators(folder / "vit_demo-plain-fp32.onnx") != operators(folder / "vit_demo-optimised-fp32.onnx")
    for name, tolerance in (("fp32", 1e-4), ("fp32-half-weights", 2e-2), ("fp16", 5e-2)):
        path = folder / f"vit_demo-optimised-{name}.onnx"
        # Depth of a centimetre is a small remainder of large numbers.
        np.testing.assert_allclose(estimate(path).depth_m, expected, rtol=tolerance, atol=tolerance)
        metadata = open_model(path, provider="cpu").metadata
        assert metadata.meaningless
        assert metadata.precision == name


def test_a_model_that_is_there_is_not_made_again(folder):
    path = folder / "vit_demo-plain-fp32.onnx"
    before = path.stat().st_mtime_ns
    assert stand_ins.make_stand_ins("vit_demo", [("plain", "fp32")], folder)[path.name] < 1
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(("form", "precision"), [("fast", "fp32"), ("plain", "int8"), ("plain", "fp8")])
def test_what_cannot_be_made_is_refused_by_name(tmp_path, form, precision):
    with pytest.raises(ConfigurationError, match=f"{precision}|{form}"):
        stand_ins.make_stand_ins("vit_demo", [(form, precision)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_program_prints_seconds_and_work(folder, capsys):
    words = ["vit_demo", "plain:fp32", "--folder", str(folder), "--work", "56x84"]
    assert stand_ins.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gflop"] == {"56x84": count_gflop("vit_demo", (56, 84))}
    assert stand_ins.main(["vit_demo", "plain:int8", "--folder", str(folder)]) == 1
    assert "'plain:int8' cannot be made here" in capsys.readouterr().err


def test_work_at_what_is_no_size_is_refused_before_anything_is_made(tmp_path, capsys):
    words = ["vit_demo", "plain:fp32", "--folder", str(tmp_path), "--work", "56"]
    assert stand_ins.main(words) == 1
    assert capsys.readouterr().err.startswith("--work is '56', expected HEIGHTxWIDTH such as 480x640")
    assert list(tmp_path.iterdir()) == []


def test_the_speed_of_products_is_that_of_each_kind(capsys):
    assert matrix_speed.main(["--side", "64", "--seconds", "0.01"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"float16", "tf32"}
    assert all(0 < each < 1000 for each in told.values())
