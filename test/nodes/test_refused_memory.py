"""What large images that are refused took of memory is given back, and good images go on coming out."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import CameraBench, picture
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import Image

MIB = 1024
SIDE = 4096
MESSAGE_MIB = SIDE * SIDE * 3 / 2**20


def own_memory_mib(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / MIB


def test_memory_of_refused_images_is_given_back(tmp_path):
    domain = next_domain()
    model = tiny_models.save_contract_model(tmp_path / "good.onnx")
    given = parameters(model=model, max_pixels=1_000_000)
    with running_node("depth_node", *given, environment=ros_environment(tmp_path / "log", domain)) as process:
        process.wait_for("ready")
        bench = TestBench(domain)
        try:
            camera = CameraBench(bench, {"depth/image": Image})
            camera.connect()
            before = own_memory_mib(process.pid)
            for _ in range(3):
                camera.show(np.zeros((SIDE, SIDE, 3), np.uint8))
                bench.spin_for(0.5)
            process.wait_for("expected at most 1000000 pixels")
            assert bench.spin_until(lambda: own_memory_mib(process.pid) < before + MESSAGE_MIB / 4, timeout_s=20)
            camera.connect()
            camera.results(camera.show(picture()))
        finally:
            bench.close()
