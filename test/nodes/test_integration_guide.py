"""The guides name only what exists: parameters and launch arguments (integration.md), states (troubleshooting.md)."""

import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from metric3d_ros.nodes.health import camera_health
from metric3d_ros.nodes.parameter_server.schema import build
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/integration.md").read_text()
TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.+?)```", GUIDE, re.DOTALL)


def flat(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_parameter_files_are_valid():
    files = [yaml.safe_load(text) for text in blocks("yaml")]
    given = [file["/**"]["ros__parameters"] for file in files if "/**" in file]
    assert len(given) == 2
    for values in given:
        build(DepthParameters, dict(flat(values)))


def test_launch_files_have_the_arguments():
    commands = re.findall(r"ros2 launch metric3d_ros (\S+)((?: \S+:=\S+)+)", "\n".join(blocks("sh")))
    assert {name for name, _ in commands} == {"depth.launch.py", "rtabmap.launch.py", "multi_camera.launch.py"}
    for name, words in commands:
        source = (ROOT / "launch" / name).read_text()
        for argument in re.findall(r"(\w+):=", words):
            assert re.search(rf'\(\s*"{argument}",\s', source), f"{name} has no argument {argument}"


@pytest.mark.parametrize(
    "state", ["LOADING", "RUNNING", "IDLE", "DISABLED", "WAITING_FOR_IMAGES", "WAITING_FOR_CAMERA_INFO", "FAILING"]
)
def test_states_are_called_what_the_node_calls_them(state):
    assert f"| `{getattr(camera_health, state)}` |" in TROUBLESHOOTING


def test_what_follows_running_is_called_what_the_node_calls_it():
    assert f"| `{camera_health.RUNNING}, but {camera_health.TOO_SLOW}` |" in TROUBLESHOOTING
