"""Text that others send cannot look like a line of the node's log, nor change what a terminal shows."""

import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from camera_bench import CameraBench, picture
from diagnostic_msgs.msg import DiagnosticArray
from ros_process import RosProcess, TestBench, next_domain, parameters, ros_environment
from sensor_msgs.msg import Image

from metric3d_ros.files.excerpts import printable

HOSTILE = "cam\n[FATAL] [1.0] [depth_node]: the motors are off\x1b[31m\r\x07\u202e"


def test_text_that_can_be_printed_stays_as_it_is():
    assert printable("depth of 'Küche' is 2 m") == "depth of 'Küche' is 2 m"


def test_other_text_keeps_no_control_characters_and_no_line_that_looks_like_another():
    assert printable(HOSTILE) == "cam\n    [FATAL] [1.0] [depth_node]: the motors are off?[31m???"


def test_names_in_messages_make_no_line_of_the_log(tmp_path):
    domain = next_domain()
    environment = ros_environment(tmp_path / "log", domain)
    model = tiny_models.save_contract_model(tmp_path / "good.onnx")
    command = [sys.executable, "-u", "-m", "metric3d_ros.nodes.depth_node"]
    process = RosProcess([*command, *parameters(model=model, always_run=True)], environment)
    bench = TestBench(domain)
    try:
        process.wait_for("ready")
        camera = CameraBench(bench, {"depth/image": Image})
        diagnostics = bench.listen(DiagnosticArray, "/diagnostics")

        def said():
            camera.show(picture(), header=camera.header(HOSTILE), with_info=False)
            return any("no camera_info" in line for line in process.lines)

        assert bench.spin_until(said, timeout_s=30.0)
        assert bench.spin_until(lambda: "no camera_info" in str(diagnostics[-1:]), timeout_s=30.0)
        (result,) = bench.set_parameters("/depth_node", scan__frame_id=HOSTILE)
        assert "expected letters that can be printed" in result.reason
    finally:
        bench.close()
        process.close()
    assert any("the motors are off" in line for line in process.lines)
    assert not [line for line in process.lines if line.startswith("[FATAL]") or not line.isprintable()]
    values = [text for array in diagnostics for status in array.status for text in _texts(status)]
    assert not [text for text in values if set(text) & set("\x1b\r\x07\u202e")]


def test_each_line_of_the_log_has_its_own_throttle():
    from rclpy.logging import get_logger

    from metric3d_ros.nodes.serving.printable_logger import make_printable

    logger = make_printable(get_logger("test_text_of_others"))
    said = [logger.warning("one", once=True) for _ in range(3)]
    assert [*said, logger.error("another", once=True)] == [True, False, False, True]


def _texts(status):
    return [status.message, *(each.value for each in status.values)]
