"""The respawn benchmark kills and restarts a real node, and its moments are in the order in which they must come."""

import re
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from ros_process import next_domain, ros_environment


def test_node_that_is_killed_works_again_without_help(tmp_path):
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    command = [
        sys.executable,
        "-m",
        "metric3d_ros.bench.node.respawn",
        "--model",
        str(model),
        "--times",
        "2",
        "--delay",
        "0.5",
    ]
    environment = ros_environment(tmp_path / "log", next_domain())
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"p50 +([\d.]+) .*\(2\)$", done.stdout, re.MULTILINE)
    started, ready, depth, inference = map(float, rows)
    assert 500 < started < ready < depth
    assert 0 < inference < depth - started


def test_model_that_cannot_be_loaded_is_said_and_ends_it(tmp_path):
    command = [sys.executable, "-m", "metric3d_ros.bench.node.respawn", "--model", "missing.onnx", "--timeout", "15"]
    environment = ros_environment(tmp_path / "log", next_domain())
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "respawn: error: depth_node did not answer on depth/image" in done.stderr
