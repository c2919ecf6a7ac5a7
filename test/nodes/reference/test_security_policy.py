"""The SROS2 policy allows what running nodes offer and use, and nothing else; only the operator may call services."""

import sys
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from rclpy.action import get_action_client_names_and_types_by_node, get_action_server_names_and_types_by_node
from ros_process import RosProcess, TestBench, next_domain, parameters, ros_environment
from sros2_policy import POLICY, RIGHTS, allowed

from metric3d_ros.nodes.reference.security_policy import BUILT_IN_SERVICES, BUILT_IN_TOPICS, profiles
from metric3d_ros.nodes.reference.topic_page import INPUTS, OF_OTHER_SENSORS, OTHERS, RANGES, SERVICES
from metric3d_ros.outputs.table import OUTPUTS

TF = {"/tf", "/tf_static"}
"""Only with `scale.use_tf`, for which tf2_ros must be installed."""
CHANGING = {"set_parameters", "set_parameters_atomically", "set_enabled", "save_snapshot", "set_logger_levels"}


def in_use(bench, node, namespace="/"):
    """Return the names in the ROS graph of a running node, by right."""
    graph = {
        "publish": bench.node.get_publisher_names_and_types_by_node,
        "subscribe": bench.node.get_subscriber_names_and_types_by_node,
        "reply": bench.node.get_service_names_and_types_by_node,
        "request": bench.node.get_client_names_and_types_by_node,
    }
    return {right: {name for name, _ in read(node, namespace)} for right, read in graph.items()}


class Graph:
    """The nodes that run on a domain, and what they use."""

    def __init__(self, domain, log):
        self.environment = ros_environment(log, domain)
        self.bench = TestBench(domain)
        self._running = []

    def start(self, *command):
        self._running.append(RosProcess([sys.executable, "-m", *command], self.environment))

    def expect(self, expected, node, namespace="/"):
        def same():
            known = (node, namespace) in self.bench.node.get_node_names_and_namespaces()
            return known and in_use(self.bench, node, namespace) == expected

        self.bench.spin_until(same, timeout_s=60.0)
        assert in_use(self.bench, node, namespace) == expected, "\n".join(self._running[-1].lines)
        for actions in (get_action_client_names_and_types_by_node, get_action_server_names_and_types_by_node):
            assert not actions(self.bench.node, node, namespace)

    def close(self):
        for process in self._running:
            process.close()
        self.bench.close()


@pytest.fixture
def graph(tmp_path):
    graph = Graph(next_domain(), tmp_path / "log")
    yield graph
    graph.close()


def without(rights, *names):
    return {right: {name for name in given if name not in names} for right, given in rights.items()}


def test_depth_node_uses_what_its_enclave_may_use_and_nothing_else(graph):
    pytest.importorskip(
        "visualization_msgs", reason="visualization_msgs is not installed: pip install 'metric3d_ros[ros]'"
    )
    given = {
        "use_sim_time": True,
        "outputs__scan": True,
        "scan__frame_id": "camera_link",
        "outputs__normals_arrows": True,
        "scale__topic": RANGES,
    }
    graph.start("metric3d_ros.bench.node.stub_node", *parameters(**given))
    compressed = parameters(**given, image_transport="compressed")
    graph.start("metric3d_ros.bench.node.stub_node", *compressed, "-r", "__ns:=/robot")
    graph.expect(without(allowed("depth_node"), "/image/compressed", *TF), "depth_node")
    graph.expect(without(allowed("depth_node", "/robot"), "/robot/image", *TF), "depth_node", "/robot")


def test_image_player_uses_what_its_enclave_may_use_and_nothing_else(graph, tmp_path):
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.zeros((28, 42, 3), np.uint8))
    given = {"use_sim_time": True, "images": picture, "hfov_deg": 60.0, "lockstep_topic": "depth/image", "loop": True}
    graph.start("metric3d_ros.nodes.image_player", *parameters(**given))
    graph.expect(allowed("image_player"), "image_player")


def test_view_uses_what_its_enclave_may_use_and_nothing_else(graph, tmp_path):
    pytest.importorskip("rerun", reason="rerun is not installed: pip install 'metric3d_ros[viewer]'")
    graph.start("metric3d_ros.nodes.view", "--save", str(tmp_path / "a.rrd"), *parameters(use_sim_time=True))
    graph.expect(without(allowed("view"), "/image/compressed"), "view")


@pytest.mark.parametrize(
    ("enclave", "command"),
    [
        ("health", ["metric3d_ros.cli", "health", "--timeout", "60"]),
        ("check_camera", ["metric3d_ros.cli", "check-camera", "camera_info", "--timeout", "60"]),
    ],
)
def test_commands_that_listen_use_what_their_enclave_may_use_and_nothing_else(graph, enclave, command):
    graph.start(*command)

    def names():
        return [
            each
            for each, _ in graph.bench.node.get_node_names_and_namespaces()
            if each.startswith(f"metric3d_{enclave}")
        ]

    graph.bench.spin_until(names, timeout_s=60.0)
    expected = allowed(enclave)
    graph.expect(expected, names()[0])


def test_every_topic_and_service_of_the_tables_is_in_the_policy():
    rights = allowed("depth_node")
    topics = [*(output.topic for output in OUTPUTS), *(name for name, *_ in OTHERS), *BUILT_IN_TOPICS]
    assert {"/" + name.replace("~", "depth_node").lstrip("/") for name in topics} == rights["publish"]
    subscribed = [name for name, *_ in (*INPUTS, *OF_OTHER_SENSORS)]
    assert {f"/{name.lstrip('/')}" for name in subscribed} | {"/clock"} == rights["subscribe"]
    services = [*(name.removeprefix("~/") for name, *_ in SERVICES), *BUILT_IN_SERVICES]
    assert {f"/depth_node/{name}" for name in services} == rights["reply"]


def test_only_the_operator_may_call_services():
    for profile in profiles():
        requests = allowed(profile.node)["request"]
        if profile.node == "operator":
            assert {f"/depth_node/{name}" for name in CHANGING} <= requests
            assert requests <= {
                name for node in ("depth_node", "image_player", "view") for name in allowed(node)["reply"]
            }
        else:
            assert not requests


def test_only_the_command_line_of_the_operator_has_a_pattern():
    """A pattern allows what nobody thought of."""
    patterns = [each.text for each in ElementTree.parse(POLICY).iter() if set(each.text or "") & set("*?[")]
    assert patterns == ["/_ros2cli_*/get_type_description"]


def test_file_has_the_form_that_sros2_reads():
    """Its schema: policy 0.2.0, enclaves with one list of profiles, each list of rules with one right."""
    root = ElementTree.parse(POLICY).getroot()
    assert (root.tag, root.attrib) == ("policy", {"version": "0.2.0"})
    assert [child.tag for child in root] == ["enclaves"]
    for enclave in root[0]:
        assert enclave.tag == "enclave"
        assert [child.tag for child in enclave] == ["profiles"]
        for rules in enclave.find("profiles/profile"):
            ((right, value),) = rules.attrib.items()
            assert (RIGHTS[right], value) == (rules.tag, "ALLOW")
            assert {each.tag for each in rules} == {rules.tag.removesuffix("s")}
            assert all((each.text or "").strip() == each.text != "" for each in rules)
