"""PyTorch as something to time: what it answers, and that its outputs are those of the exported file."""

import json
import subprocess
import sys

import numpy as np
import pytest

from metric3d_export.pytorch_runner import TorchModel, answer
from metric3d_ros.camera import Camera
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator

FOCAL_PX = 70.0


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 256, (56, 84, 3), np.uint8)


@pytest.fixture(scope="module")
def model(image):
    return TorchModel("vit_demo", image, focal_px=FOCAL_PX)


def test_outputs_are_those_of_the_exported_file(model, image, demo_onnx, tmp_path):
    assert answer("outputs\n", model) == {"outputs": ["depth", "confidence", "normals"]}
    path = tmp_path / "outputs.npz"
    answer(f"save {path}\n", model)
    found = np.load(path)
    camera = Camera.from_focal(84, 56, focal_px=FOCAL_PX)
    expected = Estimator(open_model(demo_onnx, provider="cpu")).estimate(image, camera)
    np.testing.assert_allclose(found["depth"], expected.depth_m, rtol=1e-3)
    np.testing.assert_allclose(found["confidence"], expected.confidence, atol=1e-3)
    np.testing.assert_allclose(found["normals"], expected.normals, atol=2e-3)


def test_time_memory_and_work_are_told(model):
    told = answer("run", model)
    assert told["total_ms"] > 0
    assert told["cpu_ms"] > 0
    assert answer("memory", model)["peak_memory_mib"] > 100
    # 1 patch token a 14 x 14 block: the encoder and decoder of the smallest network, per pixel.
    double = TorchModel("vit_demo", np.zeros((112, 168, 3), np.uint8), focal_px=FOCAL_PX)
    assert answer("work", double)["gflop"] / answer("work", model)["gflop"] == pytest.approx(4, rel=0.1)
    with pytest.raises(ValueError, match="not understood"):
        answer("dance", model)


def test_process_answers_line_by_line_and_ends_with_its_input(image, tmp_path):
    np.save(tmp_path / "image.npy", image)
    command = [sys.executable, "-m", "metric3d_export.pytorch_runner", "vit_demo", str(tmp_path / "image.npy")]
    done = subprocess.run(
        [*command, "--focal", "70", "--threads", "1"], input="outputs\nrun\n", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["outputs"] == ["depth", "confidence", "normals"]
    assert second["total_ms"] > 0


def test_an_unknown_variant_is_one_line(image, tmp_path):
    np.save(tmp_path / "image.npy", image)
    command = [sys.executable, "-m", "metric3d_export.pytorch_runner", "vit_tall", str(tmp_path / "image.npy")]
    done = subprocess.run([*command, "--focal", "70"], input="", capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "vit_tall" in line
