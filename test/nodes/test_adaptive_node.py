"""depth_node at the size that holds a rate, or that fits into memory, as a process; its model is slowed and limited."""

import sys
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import limited_node
import tiny_models
from camera_bench import CameraBench
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import RosProcess, TestBench, next_domain, parameters, ros_environment
from sensor_msgs.msg import Image

from metric3d_ros.messages import image_to_array

WIDTH, HEIGHT = 320, 240
CAMERA, MODEL = "depth_node: camera", "depth_node: model"


class Scene:
    """A camera before a grey wall, a node that looks at it, and what the node says of itself."""

    def __init__(self, process, bench):
        self.process, self.bench = process, bench
        self.camera = CameraBench(bench, {"depth/image": Image})
        self.reports = bench.listen(DiagnosticArray, "/diagnostics")
        self.grey = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)

    def value(self, key, name=CAMERA):
        statuses = [status for report in self.reports[-1:] for status in report.status if status.name == name]
        return {pair.key: pair.value for status in statuses for pair in status.values}.get(key, "")

    def pixels(self):
        """Return how many pixels the network last saw; 0 where it has seen nothing."""
        width, _, height = self.value("inference size").partition("x")
        return int(width or 0) * int(height or 0)

    def show_until(self, done, *, timeout_s=60.0):
        def shown():
            self.camera.show(self.grey)
            self.bench.spin_for(0.03)
            return done()

        return self.bench.spin_until(shown, timeout_s=timeout_s)


@contextmanager
def running_scene(folder, limits, **values):
    domain = next_domain()
    model = tiny_models.save_contract_model(folder / "tiny.onnx")
    arguments = [sys.executable, limited_node.__file__, *parameters(**{"model": model, "provider": "cpu", **values})]
    process = RosProcess(arguments, ros_environment(folder, domain, **limits))
    try:
        bench = TestBench(domain)
        try:
            process.wait_for("ready: waiting for")
            yield Scene(process, bench)
        finally:
            bench.close()
    finally:
        process.close()


def test_auto_holds_the_rate_and_follows_it_when_it_changes(tmp_path):
    limits = {limited_node.MS_PER_MEGAPIXEL: "3000"}
    with running_scene(tmp_path, limits, inference_size="auto", target_rate_hz=20.0) as scene:
        # 50 ms at 3 s a megapixel; the image itself would take 230 ms, and the model's limit of 28 k pixels 84 ms.
        assert scene.show_until(lambda: scene.camera.heard["depth/image"] and 0 < scene.pixels() <= 50 / 3000 * 1e6)
        assert scene.value("inference_size", MODEL) == "auto"
        assert scene.value("target_rate_hz", MODEL) == "20"
        depth = image_to_array(scene.camera.heard["depth/image"][-1]).array
        assert depth.shape == (HEIGHT, WIDTH)
        assert np.isfinite(depth).all()

        (result,) = scene.bench.set_parameters("depth_node", target_rate_hz=1.0)
        assert result.successful
        # 1.5 times the 112 x 168 that the model was trained with, at the image's aspect.
        assert scene.show_until(lambda: scene.value("inference size") == "193x145")


def test_too_little_memory_drops_a_frame_and_goes_on_at_half_the_size(tmp_path):
    limits = {limited_node.MOST_PIXELS: "50000"}
    with running_scene(tmp_path, limits) as scene:
        assert scene.show_until(lambda: len(scene.camera.heard["depth/image"]) >= 3 and scene.pixels())
        assert scene.value("inference size") == "226x169"
        assert scene.value("dropped, bad") == "1"
        assert "no memory for 76800 pixels" in scene.value("last bad frame")
        warnings = [line for line in scene.process.lines if "does not fit into memory" in line]
        assert len(warnings) == 1
        assert "[WARN]" in warnings[0]
        assert "inference runs at 226x169" in warnings[0]


def test_the_log_says_which_provider_auto_took(tmp_path):
    with running_scene(tmp_path, {}, provider="auto") as scene:
        taken = scene.process.wait_for("provider auto uses").partition("uses ")[2].partition(",")[0]
        scene.process.wait_for(f"model tiny.onnx runs on {taken}")
