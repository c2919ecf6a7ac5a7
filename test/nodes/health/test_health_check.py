"""`metric3d health`: an exit status for containers and supervisors, from what depth_node itself reports."""

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from camera_bench import CameraBench, picture
from ros_process import parameters, running_node
from sensor_msgs.msg import Image

from metric3d_ros.cli import main
from metric3d_ros.nodes import health_check


def health(environment, *options):
    command = [sys.executable, "-m", "metric3d_ros.cli", "health", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_time_that_cannot_be_waited_is_refused(capsys):
    for seconds in ("0", "-1", "nan", "inf", "1e+300"):
        assert main(["health", "--timeout", seconds]) == 1
        assert f"--timeout is {seconds}, expected seconds above 0" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b", "", "/", "a//depth_node", "1node", "depth-node", "n\u00f6de", "~/node"])
def test_what_can_be_no_node_is_refused_before_anything_is_waited_for(monkeypatch, capsys, name):
    monkeypatch.setattr(health_check, "_receive", lambda *_, **__: pytest.fail("it waits for such a node"))
    assert main(["health", "--node", name]) == 1
    assert capsys.readouterr().err == (
        f"metric3d health: --node is '{name}', expected the name of a node such as depth_node or /front/depth_node: "
        "ASCII letters, digits and underscores, no digit first, with a / between namespaces\n"
    )


def test_status_is_0_for_a_node_without_errors_and_1_for_one_whose_frames_all_fail_or_none(model, environment, bench):
    silent = health(environment, "--timeout", "1")
    assert silent.returncode == 1
    assert silent.stderr.startswith("metric3d health: depth_node reported nothing on /diagnostics within 1 s")
    assert silent.stderr.count("\n") == 1
    with running_node("depth_node", *parameters(model=model, max_pixels=1000), environment=environment) as process:
        process.wait_for("ready")
        well = health(environment)
        assert (well.returncode, well.stderr) == (0, "")
        assert "depth_node: model: running" in well.stdout
        other = health(environment, "--node", "/front/depth_node", "--timeout", "2")
        assert other.returncode == 1
        camera = CameraBench(bench, {"depth/image": Image})

        def failing():
            camera.show(picture())
            bench.spin_for(0.1)
            return any("frame dropped" in line for line in process.lines)

        assert bench.spin_until(failing)
        for _ in range(10):
            camera.show(picture())
            bench.spin_for(0.1)
        ill = health(environment)
        assert ill.returncode == 1
        assert "failing: the image is 64 x 48 pixels" in ill.stdout
