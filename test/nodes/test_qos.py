"""Quality of service: who hears whom by default, what parameters change, and what is said where two do not fit."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_process import TestBench, next_domain, parameters, ros_environment, running_node
from sensor_msgs.msg import CameraInfo, Image

RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def domain():
    return next_domain()


@pytest.fixture
def bench(domain):
    bench = TestBench(domain)
    yield bench
    bench.close()


@pytest.fixture
def node(tmp_path, domain, model):
    """Return a function that runs depth_node with parameters."""
    environment = ros_environment(tmp_path / "log", domain)

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


def test_camera_info_is_heard_from_publishers_of_both_kinds(bench, tmp_path, domain, model):
    environment = ros_environment(tmp_path / "log", domain)
    with running_node("depth_node", *parameters(model=model), environment=environment) as process:
        process.wait_for("ready")
        for qos in (RELIABLE, BEST_EFFORT):
            infos = bench.advertise(CameraInfo, "camera_info", qos)
            assert bench.spin_until(lambda infos=infos: infos.get_subscription_count() == 1)
        assert not [line for line in process.lines if "[WARN]" in line]
