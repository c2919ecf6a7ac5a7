"""A node without a ROS 2 that it can use ends in one line."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["metric3d_ros.nodes.depth_node", "metric3d_ros.nodes.image_player"])
def test_ros_of_another_python_is_one_line(tmp_path, command):
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy/__init__.py").write_text("raise ImportError('The C extension failed\\nto be imported')\n")
    environment = os.environ | {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    run = subprocess.run(
        [sys.executable, "-m", command], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 1
    assert run.stderr.startswith(
        "metric3d_ros: rclpy is installed and cannot be imported (The C extension failed to be "
    )
    assert run.stderr.count("\n") == 1
