"""depth_node as a process: parameters that change while the model loads count from the first image on."""

import sys
from contextlib import contextmanager

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import limited_node
import tiny_models
from camera_bench import CameraBench
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_process import RosProcess, TestBench, next_domain, parameters, ros_environment
from sensor_msgs.msg import Image


@contextmanager
def loading_node(folder, model):
    """Run a node whose model waits in its first run; give the process, a bench, and what ends the wait."""
    domain, go_on = next_domain(), folder / "go_on"
    arguments = [sys.executable, limited_node.__file__, *parameters(model=model, provider="cpu", threads=1)]
    process = RosProcess(arguments, ros_environment(folder, domain, **{limited_node.WAIT_FOR: str(go_on)}))
    try:
        bench = TestBench(domain)
        try:
            process.wait_for("loading model")
            yield process, bench, go_on.touch
        finally:
            bench.close()
    finally:
        process.close()


def change(bench, name, value):
    """Set a parameter; ask again if no answer comes: a reply is lost if the node has not discovered its reader yet."""
    client = bench.node.create_client(SetParameters, "depth_node/set_parameters")
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    assert bench.spin_until(client.service_is_ready)
    asked = []
    for _ in range(10):
        asked.append(client.call_async(request))
        if bench.spin_until(lambda: any(future.done() for future in asked), timeout_s=2):
            break
    (result,) = next(future.result() for future in asked if future.done()).results
    assert result.successful, result.reason


def test_size_that_changes_while_the_model_loads_is_that_of_the_first_image(tmp_path):
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    with loading_node(tmp_path, model) as (process, bench, go_on):
        change(bench, "inference_size", "32x28")
        go_on()
        process.wait_for("ready: waiting for")
        reports = bench.listen(DiagnosticArray, "/diagnostics")
        CameraBench(bench, {"depth/image": Image}).connect()

        def size():
            pairs = [pair for report in reports for status in report.status for pair in status.values]
            return next((pair.value for pair in reversed(pairs) if pair.key == "inference size"), "")

        assert bench.spin_until(size)
        assert size() == "32x28"


def test_change_that_the_loading_model_cannot_serve_ends_the_node_with_the_remedy(tmp_path):
    model = tiny_models.save_authors_model(tmp_path / "without_confidence.onnx", size_hw=(56, 84))
    with loading_node(tmp_path, model) as (process, bench, go_on):
        change(bench, "depth.min_confidence", 0.5)
        go_on()
        assert process.wait() == 1
    (fatal,) = [line for line in process.lines if "[FATAL]" in line]
    assert "parameter depth.min_confidence is 0.5, expected 0 with" in fatal
    assert "gives no confidence" in fatal
    assert not any("Traceback" in line for line in process.lines)


def test_change_that_is_taken_back_before_the_model_is_loaded_does_not_count(tmp_path):
    model = tiny_models.save_authors_model(tmp_path / "without_confidence.onnx", size_hw=(56, 84))
    with loading_node(tmp_path, model) as (process, bench, go_on):
        for limit in (0.5, 0.0):
            change(bench, "depth.min_confidence", limit)
        go_on()
        process.wait_for("ready: waiting for")
