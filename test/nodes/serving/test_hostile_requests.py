"""Whatever others request of a node's own services and clock, it goes on, and each request is answered or refused."""

import signal
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from builtin_interfaces.msg import Time
from camera_bench import CameraBench, picture
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import LoggerLevel, Parameter, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetLoggerLevels,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetLoggerLevels,
    SetParameters,
    SetParametersAtomically,
)
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from ros_process import RosProcess, parameters
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from type_description_interfaces.srv import GetTypeDescription

from metric3d_ros.nodes.serving.service_desk import MOST_WAITING
from metric3d_ros.nodes.serving.serving_node import MOST_ITEMS

NAN = float("nan")
ANY_VALUE = {
    "double_value": NAN,
    "integer_value": -(2**63),
    "string_value": "\x01\u2028" * 10,
    "byte_array_value": [b"\xff"],
    "bool_array_value": [True],
    "integer_array_value": [2**63 - 1],
    "double_array_value": [NAN, -1e308],
    "string_array_value": ["x" * 1000, ""],
}
SECONDS = [(-1, 0), (-(2**31), 2**32 - 1), (2**31 - 1, 2**32 - 1), (0, 0)]


@pytest.fixture
def start(tmp_path, environment):
    """Return a function that starts one of the three nodes and waits until it works."""
    started = []

    def start_node(name):
        cv2.imwrite(str(tmp_path / "image.png"), np.full((48, 64, 3), 100, np.uint8))
        arguments, ready = {
            "depth_node": (parameters(model=tiny_models.save_contract_model(tmp_path / "good.onnx")), "ready"),
            "image_player": ([str(tmp_path / "image.png"), "--focal", "50", "--loop"], "playing"),
            "view": (["--save", str(tmp_path / "recording.rrd")], "/points"),
        }[name]
        command = [sys.executable, "-m", f"metric3d_ros.nodes.{name}", *arguments]
        started.append(RosProcess(command, environment))
        started[-1].wait_for(ready)
        return started[-1]

    yield start_node
    for process in started:
        process.close()


def value_of_type(name, kind):
    return Parameter(name=name, value=ParameterValue(type=kind, **ANY_VALUE))


def requests(names):
    """Yield every service that rclpy gives a node with requests that its type allows and nobody expects."""
    of_any_type = [
        value_of_type(name, kind) for name in [*names, "", "no such"] for kind in (0, *range(2, 12), 200, 255)
    ]
    yield SetParameters, "set_parameters", {"parameters": of_any_type}
    yield SetParameters, "set_parameters", {}
    for parameter in of_any_type[:40]:
        yield SetParametersAtomically, "set_parameters_atomically", {"parameters": [parameter]}
    yield SetParametersAtomically, "set_parameters_atomically", {}
    for kind, name in (
        (GetParameters, "get_parameters"),
        (GetParameterTypes, "get_parameter_types"),
        (DescribeParameters, "describe_parameters"),
    ):
        for given in ([], names, ["no such"], [""] * 500, ["x" * 100_000], names[:1] * (MOST_ITEMS + 1)):
            yield kind, name, {"names": given}
    yield ListParameters, "list_parameters", {"depth": 2**64 - 1}
    yield ListParameters, "list_parameters", {"prefixes": ["", ".", "x" * 10_000] * 100, "depth": 2**63}
    for level in (0, 1, 255, 2**31, 2**32 - 1):
        levels = [LoggerLevel(name=name, level=level) for name in ("x", "x..y\n", ".", "x" * 10_000)]
        yield SetLoggerLevels, "set_logger_levels", {"levels": levels}
    yield GetLoggerLevels, "get_logger_levels", {"names": ["", "." * 10_000, "\n"]}
    for hash_text in ("", "RIHS01_", "RIHS99_zz", "RIHS01_" + "f" * 64):
        given = {"type_name": "a/b/c/d", "type_hash": hash_text, "include_type_sources": True}
        yield GetTypeDescription, "get_type_description", given


@pytest.mark.parametrize("name", ["depth_node", "image_player", "view"])
def test_no_request_and_no_clock_ends_a_node(bench, start, name):
    if name == "view":
        pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
    process = start(name)
    names = list(bench.call(ListParameters, f"{name}/list_parameters", ListParameters.Request()).result.names)
    for kind, service, fields in requests(names):
        response = bench.call(kind, f"{name}/{service}", kind.Request(**fields))
        if kind is SetParameters:
            assert len(response.results) == len(fields.get("parameters", ()))
            for given, result in zip(fields.get("parameters", ()), response.results, strict=True):
                if given.value.type > 9:
                    assert not result.successful
                    assert f"{given.value.type} is not a valid" in result.reason
    assert bench.set_parameters(name, use_sim_time=True)[0].successful
    clock = bench.advertise(Clock, "/clock")
    assert bench.spin_until(lambda: clock.get_subscription_count() > 0)
    for seconds, nanoseconds in SECONDS:
        clock.publish(Clock(clock=Time(sec=seconds, nanosec=nanoseconds)))
        bench.spin_for(0.1)
    whole = serialize_message(Clock(clock=Time(sec=7)))
    for damaged in (whole[:5], whole[:9], b"\xff" * len(whole)):
        clock.publish(damaged)
        bench.spin_for(0.1)
    process.wait_for("message on /clock refused: ValueError")
    answer = bench.call(GetParameters, f"{name}/get_parameters", GetParameters.Request(names=["use_sim_time"]))
    assert answer.values[0].bool_value
    assert not [line for line in process.lines if "Traceback" in line]
    process.signal(2)
    assert process.wait() == 0


def test_what_was_refused_is_counted_in_diagnostics(bench, start):
    start("depth_node")
    reports = bench.listen(DiagnosticArray, "/diagnostics")
    request = SetParameters.Request(parameters=[value_of_type("depth.max_m", 200)] * 3)
    bench.call(SetParameters, "depth_node/set_parameters", request)

    def values():
        return {pair.key: pair.value for status in reports[-1].status for pair in status.values} if reports else {}

    assert bench.spin_until(lambda: values().get("messages and requests refused") == "3")
    assert values()["last refused"] == (
        "request to set_parameters refused: parameter 'depth.max_m': ValueError: 200 is not a valid Parameter.Type"
    )


def test_frames_come_out_while_one_request_changes_two_thousand_parameters(bench, start):
    start("depth_node")
    camera = CameraBench(bench, {"depth/image": Image})
    camera.connect()
    changes = [
        Parameter(name="depth.max_m", value=ParameterValue(type=3, double_value=10 + n / 100)) for n in range(2000)
    ]
    client = bench.node.create_client(SetParameters, "depth_node/set_parameters")
    assert bench.spin_until(client.service_is_ready)
    answer = client.call_async(SetParameters.Request(parameters=changes))
    during = 0
    while not answer.done():
        header = camera.show(picture())
        camera.results(header, timeout_s=20.0)
        during += not answer.done()
    assert during >= 5
    assert [result.successful for result in answer.result().results] == [True] * 2000


def clients_that_keep_every_reply(bench, number, kind, service):
    """Return clients on a node each. DDS hands every reply to all of them, and by default each keeps the newest 10."""
    qos = QoSProfile(depth=4 * MOST_WAITING)
    clients = []
    for index in range(number):
        node = Node(f"client_{index}", context=bench.context)
        bench._executor.add_node(node)
        clients.append(node.create_client(kind, f"depth_node/{service}", qos_profile=qos))
    for client in clients:
        answers = []

        def is_answered(client=client, answers=answers):
            if client.service_is_ready():
                answers.append(client.call_async(kind.Request()))
                bench.spin_until(answers[-1].done, timeout_s=1.0)
            return bool(answers) and answers[-1].done()

        # A client that sees the service may not be seen by it yet; then it gets no reply.
        assert bench.spin_until(is_answered)
    return clients


@pytest.mark.parametrize("service", ["set_parameters", "set_enabled"])
def test_each_of_many_clients_that_call_at_once_gets_an_answer(bench, start, service):
    process = start("depth_node")
    kind, request = {
        "set_parameters": (SetParameters, SetParameters.Request(parameters=[value_of_type("depth.max_m", 3)] * 20)),
        "set_enabled": (SetBool, SetBool.Request(data=True)),
    }[service]
    clients = clients_that_keep_every_reply(bench, 10, kind, service)
    # All 30 requests are there before the node takes the first one.
    process.signal(signal.SIGSTOP)
    answers = [client.call_async(request) for client in clients for _ in range(3)]
    process.signal(signal.SIGCONT)
    assert bench.spin_until(lambda: all(answer.done() for answer in answers)), [answer.done() for answer in answers]


def test_more_requests_than_may_wait_are_refused_at_once(bench, start):
    start("depth_node")
    clients = clients_that_keep_every_reply(bench, 2, SetParameters, "set_parameters")
    of_items = [SetParameters.Request(parameters=[value_of_type("depth.max_m", 3)] * items) for items in (2000, 20)]
    long = clients[0].call_async(of_items[0])
    answers = [clients[1].call_async(of_items[1]) for _ in range(MOST_WAITING + 20)]

    def reasons():
        return [answer.result().results[0].reason for answer in answers if answer.done()]

    assert bench.spin_until(lambda: any(f"{MOST_WAITING} requests wait already" in reason for reason in reasons()))
    assert not long.done()
