"""Quality of service: who hears whom by default, what parameters change, and what is said where two do not fit."""

import re

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_process import parameters, running_node
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def node(environment, model):
    """Return a function that runs depth_node with parameters."""

    def run(*more, **values):
        return running_node(
            "depth_node", *parameters(model=model, hfov_deg=60.0, **values), *more, environment=environment
        )

    return run


def reliabilities(endpoints):
    """Return the reliability of each endpoint of depth_node."""
    return [info.qos_profile.reliability for info in endpoints if info.node_name == "depth_node"]


def published(bench, topic):
    assert bench.spin_until(lambda: reliabilities(bench.node.get_publishers_info_by_topic(topic)))
    return reliabilities(bench.node.get_publishers_info_by_topic(topic))[0]


def subscribed(bench, topic):
    assert bench.spin_until(lambda: reliabilities(bench.node.get_subscriptions_info_by_topic(topic)))
    return reliabilities(bench.node.get_subscriptions_info_by_topic(topic))[0]


def test_inputs_are_best_effort_and_outputs_reliable(bench, node):
    with node() as process:
        process.wait_for("ready")
        assert subscribed(bench, "/image") == ReliabilityPolicy.BEST_EFFORT
        assert published(bench, "/depth/image") == ReliabilityPolicy.RELIABLE
        assert published(bench, "/points") == ReliabilityPolicy.RELIABLE


def test_parameters_change_all_inputs_and_all_outputs(bench, node):
    with node(qos__input_reliability="reliable", qos__output_reliability="best_effort") as process:
        process.wait_for("ready")
        assert subscribed(bench, "/image") == ReliabilityPolicy.RELIABLE
        assert published(bench, "/depth/image") == ReliabilityPolicy.BEST_EFFORT
        assert published(bench, "/points") == ReliabilityPolicy.BEST_EFFORT


def test_override_changes_one_topic_alone(bench, node):
    with node("-p", "qos_overrides./points.publisher.reliability:=best_effort") as process:
        process.wait_for("ready")
        assert published(bench, "/points") == ReliabilityPolicy.BEST_EFFORT
        assert published(bench, "/depth/image") == ReliabilityPolicy.RELIABLE


@pytest.mark.parametrize("topic", ["/depth/image", "/points", "/diagnostics", "/depth_node/timing"])
def test_override_changes_no_topic_that_is_advertised_later(bench, node, topic):
    with node("-p", f"qos_overrides.{topic}.publisher.reliability:=best_effort") as process:
        process.wait_for("ready")
        assert published(bench, topic) == ReliabilityPolicy.BEST_EFFORT
        for other in {"/depth/image", "/normals/image", "/points", "/diagnostics", "/depth_node/timing"} - {topic}:
            assert published(bench, other) == ReliabilityPolicy.RELIABLE


def test_override_reaches_a_remapped_topic_under_its_new_name(bench, node):
    override = "qos_overrides./front/cloud.publisher.durability:=transient_local"
    with node("-r", "__ns:=/front", "-r", "points:=cloud", "-p", override) as process:
        process.wait_for("ready")
        assert bench.spin_until(lambda: bench.node.count_publishers("/front/cloud") == 1)
        (info,) = bench.node.get_publishers_info_by_topic("/front/cloud")
        assert info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL


def test_latched_cloud_waits_for_a_viewer_that_comes_when_the_camera_is_gone(bench, node):
    with node("-p", "qos_overrides./points.publisher.durability:=transient_local") as process:
        process.wait_for("ready")
        images = bench.advertise(Image, "image")
        assert bench.spin_until(lambda: images.get_subscription_count() == 1)
        state = bench.listen(DiagnosticArray, "/diagnostics")
        image = Image(height=48, width=64, encoding="mono8", step=64, data=bytes(48 * 64))
        image.header.frame_id = "eye"

        def show_and_look():
            image.header.stamp.sec += 1
            images.publish(image)
            bench.spin_for(0.2)
            return any(re.search("frames published [1-9]", describe(array)) for array in state)

        # Depth is asked for by nobody: the cloud alone is made.
        assert any(show_and_look() for _ in range(100)), process.lines
        bench.node.destroy_publisher(images)
        clouds = bench.listen(PointCloud2, "points", LATCHED)
        assert bench.spin_until(lambda: clouds), process.lines
        assert clouds[0].header.frame_id == "eye"
        late_images = bench.listen(Image, "depth/image")
        bench.spin_for(0.5)
        assert not late_images


def describe(array):
    return "; ".join(f"{value.key} {value.value}" for status in array.status for value in status.values)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("qos_overrides./points.publisher.durabilty", "did you mean qos_overrides./points.publisher.durability?"),
        ("qos_overrides./point.publisher.durability", "did you mean qos_overrides./points.publisher.durability?"),
        ("qos_overrides./points.subscription.depth", "did you mean qos_overrides./points.publisher.depth?"),
        ("qos_overrides./elsewhere/scan.publisher.lifespan", "`ros2 node info` lists this node's topics"),
    ],
)
def test_override_for_nothing_of_this_node_is_warned_about(node, name, hint):
    with node("-p", f"{name}:=5") as process:
        line = process.wait_for("is for no topic of this node and has no effect")
        assert f"parameter {name} " in line
        assert line.endswith(hint)
        process.wait_for("ready")


def test_overrides_of_other_nodes_in_a_shared_file_are_no_warnings(node, tmp_path):
    shared = {
        f"qos_overrides./{camera}/{topic}.publisher.depth": 3
        for camera in ("front", "left")
        for topic in ("points", "depth/image", "odometry")
    }
    path = tmp_path / "shared.yaml"
    wrong = {"qos_overrides./left/point.publisher.depth": 3}
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": {**shared, **wrong}}}))
    with node("-r", "__ns:=/left", "--params-file", str(path)) as process:
        line = process.wait_for("parameters that are for no topic of this node: ")
        assert "[INFO]" in line
        others = [f"qos_overrides./front/{topic}.publisher.depth" for topic in ("depth/image", "odometry", "points")]
        others.append("qos_overrides./left/odometry.publisher.depth")
        assert sorted(line.split(": ")[-1].split(", ")) == sorted(others)
        process.wait_for("ready")
        warnings = [line for line in process.lines if "[WARN]" in line and "qos_overrides" in line]
        assert len(warnings) == 1, process.lines
        assert "qos_overrides./left/point.publisher.depth" in warnings[0]
        assert "did you mean qos_overrides./left/points.publisher.depth?" in warnings[0]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("/points.publisher.durability:=latched", "is 'latched', expected system_default, transient_local, volatile"),
        ("/points.publisher.reliability:=1", "is 1, expected system_default, reliable, best_effort"),
        ("/points.publisher.depth:=-1", "is -1, expected a whole number from 0 up"),
        ("/points.publisher.deadline:=0.5", "is 0.5, expected a whole number from 0 up, nanoseconds"),
        ("/image.subscription.depth:=many", "is 'many', expected a whole number from 0 up"),
    ],
)
def test_override_that_is_no_value_ends_the_node_with_one_line(node, setting, expected):
    with node("-p", f"qos_overrides.{setting}") as process:
        assert process.wait() == 1
        assert f"parameter qos_overrides.{setting.split(':=')[0]} {expected}" in process.lines[-1]
        assert not [line for line in process.lines if "Traceback" in line]


def test_camera_that_offers_too_little_is_warned_about_with_the_remedy(bench, node):
    with node(qos__input_reliability="reliable") as process:
        bench.advertise(Image, "image", BEST_EFFORT)
        line = process.wait_for("a publisher of /image offers less RELIABILITY than is asked for")
        assert "[WARN]" in line
        assert "set the parameter qos_overrides./image.subscription.reliability" in line


def test_subscriber_that_asks_for_too_much_is_warned_about_with_the_remedy(bench, node):
    with node(qos__output_reliability="best_effort") as process:
        bench.listen(Image, "depth/image", RELIABLE)
        line = process.wait_for("a subscriber of /depth/image asks for more RELIABILITY than is offered")
        assert "[WARN]" in line
        assert "set the parameter qos_overrides./depth/image.publisher.reliability" in line


def test_value_that_is_no_reliability_ends_the_node(node):
    with node(qos__output_reliability="perfect") as process:
        assert process.wait() == 1
        assert (
            "parameter qos.output_reliability is 'perfect', expected string reliable, best_effort" in process.lines[-1]
        )


def test_camera_info_is_heard_from_publishers_of_both_kinds(bench, environment, model):
    with running_node("depth_node", *parameters(model=model), environment=environment) as process:
        process.wait_for("ready")
        for qos in (RELIABLE, BEST_EFFORT):
            infos = bench.advertise(CameraInfo, "camera_info", qos)
            assert bench.spin_until(lambda infos=infos: infos.get_subscription_count() == 1)
        assert not [line for line in process.lines if "[WARN]" in line]
