"""Whatever parameters say, depth_node uses no topic and no service but those of the SROS2 policy, and all of those."""

import random
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import rclpy
from ros_process import next_domain
from sros2_policy import allowed

from metric3d_ros.bench.node.stub_node import open_stub
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.depth_node import DepthNode
from metric3d_ros.nodes.parameter_server.schema import entries
from metric3d_ros.nodes.parameter_server.sources import ParameterSources
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.reference.topic_page import INPUTS, RANGES
from metric3d_ros.nodes.ros.run_node import Stop
from metric3d_ros.outputs.table import OUTPUTS

GIVEN = {"scan.frame_id": ("camera_link",), "scale.topic": ("''", RANGES), "hfov_deg": ("0.0", "60.0")}
"""Parameters without choices that decide on topics, or that others need."""
USE_SIM_TIME = ("false", "true")


def values(entry):
    """Return what a parameter is set to in turn; empty for one that is left alone."""
    if entry.name in GIVEN:
        return GIVEN[entry.name]
    if entry.kind is bool:
        return ("true", "false")
    return tuple(f"'{choice}'" for choice in entry.choices)


ENTRIES = [entry for entry in entries(DepthParameters) if values(entry)]
ROUNDS = max(12, *(len(values(entry)) for entry in ENTRIES))


def test_every_parameter_that_may_decide_on_topics_is_tried():
    """A new parameter of text is either no topic, and known here as such, or gets values above."""
    texts = {entry.name for entry in entries(DepthParameters) if entry.kind is str} - {each.name for each in ENTRIES}
    known = {"model", "camera_info_url", "inference_size", "cpus", "sixteen_bit_range", "snapshot.folder", "scale.file"}
    assert texts == known


@pytest.fixture
def tf2(monkeypatch):
    """tf2_ros itself if it is installed; else what its source of Jazzy creates."""
    try:
        import tf2_ros  # noqa: F401
    except ImportError:
        from diagnostic_msgs.msg import DiagnosticArray
        from std_srvs.srv import Trigger

        def make_buffer(node=None):
            if node is not None:
                node.create_service(Trigger, "tf2_frames", lambda request, response: response)
            return SimpleNamespace()

        def listen(buffer, node):
            for topic in ("/tf", "/tf_static"):
                node.create_subscription(DiagnosticArray, topic, lambda message: None, 100)

        module = ModuleType("tf2_ros")
        module.TransformException, module.Buffer, module.TransformListener = RuntimeError, make_buffer, listen
        monkeypatch.setitem(sys.modules, "tf2_ros", module)


def in_turn(entry):
    """Return a parameter's value in each round; each parameter has another order, so that all pairs of values occur."""
    given = values(entry)
    order = [given[turn % len(given)] for turn in range(ROUNDS)]
    random.Random(entry.name).shuffle(order)
    return order


def words_of(settings):
    return [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]


def used_by(settings):
    """Return the names that a node with these parameters uses, by right, once its model has run."""
    argv = ["depth_node", "--ros-args", *words_of(settings)]
    sources = ParameterSources(argv, accepts=lambda _: True)
    rclpy.init(args=sources.argv, domain_id=next_domain())
    try:
        runner = DepthNode(Stop(), sources=sources, open_model=open_stub)
        node = runner.node
        try:
            deadline_s = time.monotonic() + 30.0
            while runner._line is None and time.monotonic() < deadline_s:
                time.sleep(0.01)
            runner._on_model_ready()
            return {
                "publish": {each.topic_name for each in node.publishers},
                "subscribe": {each.topic_name for each in node.subscriptions},
                "reply": {str(node.resolve_service_name(each.srv_name)) for each in node.services},
                "request": {str(node.resolve_service_name(each.srv_name)) for each in node.clients},
            }
        finally:
            runner.close()
            node.destroy_node()
    finally:
        rclpy.shutdown()
        sources.close()


def used_in_rounds(**always):
    """Set every parameter to each of its values, many at once; what does not go with the others keeps its default."""
    # rcl makes the publisher of /rosout, of which rclpy has no record.
    used = {"publish": {"/rosout"}, "subscribe": set(), "reply": set(), "request": set()}
    tried = {entry.name: set() for entry in ENTRIES}
    for turn in range(ROUNDS):
        settings = {each.name: in_turn(each)[turn] for each in ENTRIES}
        settings |= always | {"use_sim_time": USE_SIM_TIME[turn % 2]}
        for _ in ENTRIES:
            try:
                found = used_by(settings)
                break
            except ConfigurationError as error:
                (refused, *_) = [name for name in settings if f"{name} " in f"{error} " or f"{name}:" in str(error)]
                del settings[refused]
        for right, names in found.items():
            used[right] |= names
        for name in tried.keys() & settings.keys():
            tried[name].add(settings[name])
    return used, tried


def test_all_parameters_together_use_what_the_policy_allows_and_nothing_else(tf2):
    used, tried = used_in_rounds()
    assert used == allowed("depth_node")
    assert tried == {each.name: set(values(each)) for each in ENTRIES}


def test_camera_with_a_name_uses_the_same_with_that_name_in_front(tf2):
    used, _ = used_in_rounds(cameras="[front]")
    of_a_camera = {f"/{topic}" for topic in [*(each.topic for each in OUTPUTS), *(topic for topic, *_ in INPUTS)]}
    expected = {
        right: {f"/front{name}" if name in of_a_camera else name for name in names}
        for right, names in allowed("depth_node").items()
    }
    expected["reply"] ^= {"/depth_node/save_snapshot", "/depth_node/front/save_snapshot"}
    assert used == expected
