"""The parameters `qos_overrides.TOPIC.publisher.POLICY`: which there are, which cannot be used, which would help."""

import difflib
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.sources import ParameterSources

PREFIX = "qos_overrides."
PUBLISHER, SUBSCRIPTION = "publisher", "subscription"

_DECLARED = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
# Declared only if they are set: they would be four more parameters for each topic, of no use to most.
_ON_DEMAND = (
    QoSPolicyKind.DEADLINE,
    QoSPolicyKind.LIFESPAN,
    QoSPolicyKind.LIVELINESS,
    QoSPolicyKind.LIVELINESS_LEASE_DURATION,
)
_WORDS: dict[QoSPolicyKind, Any] = {
    QoSPolicyKind.HISTORY: HistoryPolicy,
    QoSPolicyKind.RELIABILITY: ReliabilityPolicy,
    QoSPolicyKind.DURABILITY: DurabilityPolicy,
    QoSPolicyKind.LIVELINESS: LivelinessPolicy,
}
_NO_CHOICE = ("unknown", "best_available")
# rclpy makes these of every node, without overrides.
_OF_RCLPY = ("/rosout", "/parameter_events")


def override_name(topic: str, side: str, policy: QoSPolicyKind) -> str:
    """Return the parameter of one policy of one topic; `topic` is its full name."""
    return f"{PREFIX}{topic}.{side}.{policy.name.lower()}"


def overriding_options(node: Node, topic: str, side: str) -> QoSOverridingOptions:
    """Return what rclpy needs to apply the overrides of a topic.

    Raises ConfigurationError for one whose value is none: rclpy would end the node with an error of its own.
    """
    given = [policy for policy in _policies(side) if node.has_parameter(override_name(topic, side, policy))]
    for policy in given:
        name = override_name(topic, side, policy)
        _check(name, policy, node)
        if not node.describe_parameter(name).read_only:
            # As rclpy does with those that are not set: they are only read here.
            node.set_descriptor(
                name,
                ParameterDescriptor(
                    type=node.get_parameter(name).type_.value,
                    description=f"{policy.name.lower()} for {side} `{topic}`",
                    read_only=True,
                ),
            )
    return QoSOverridingOptions([policy for policy in _policies(side) if policy in _DECLARED or policy in given])


def warn_of_unused_overrides(node: Node, sources: ParameterSources | None = None) -> None:
    """Warn of each override that is for no topic or policy of this node; call it when all topics are there.

    `sources` tell which of them may be for another node: those in a section of a file for several nodes, such as /**.
    They are logged in one line, unless their topic resembles one of this node's beyond its namespace.
    """
    # Relative names were resolved before rclpy stored them.
    topics = [(each.topic_name, PUBLISHER) for each in node.publishers]
    topics += [(each.topic_name, SUBSCRIPTION) for each in node.subscriptions]
    known = [
        override_name(topic, side, policy)
        for topic, side in dict.fromkeys(topics)
        if topic not in _OF_RCLPY
        for policy in _policies(side)
    ]
    of_others: list[str] = []
    for name in (PREFIX + rest for rest in node.get_parameters_by_prefix(PREFIX.rstrip("."))):
        if name in known:
            continue
        near = _nearest(name, known)
        if _may_be_of_another_node(node, name, near, sources):
            of_others.append(name)
            continue
        hint = f", did you mean {near}?" if near else ": `ros2 node info` lists this node's topics"
        node.get_logger().warning(f"parameter {name} is for no topic of this node and has no effect{hint}")
    if of_others:
        node.get_logger().info(f"parameters that are for no topic of this node: {', '.join(of_others)}")


def _may_be_of_another_node(node: Node, name: str, near: str, sources: ParameterSources | None) -> bool:
    """Return whether an override is in a section for several nodes, and nothing suggests that this node is meant."""
    setting = sources.setting(str(node.get_fully_qualified_name()), name) if sources else None
    if setting is None or setting.is_argument or "*" not in setting.section:
        return False
    # The topic of another camera is like this one's but for the namespace: /left/points for /front/points.
    return not near or (_topic(name) != _topic(near) and _topic(name).count("/") > 1 and _same_name(name, near))


def _same_name(name: str, other: str) -> bool:
    """Return whether two overrides differ in nothing but the first part of their topics' names."""
    return name.split("/", 2)[2:] == other.split("/", 2)[2:]


def _nearest(name: str, known: list[str]) -> str:
    """Return the override that was most likely meant: the topic decides; "" if none is like it."""
    topics = difflib.get_close_matches(_topic(name), {_topic(each) for each in known}, n=1, cutoff=0.75)
    of_topic = [each for each in known if topics and _topic(each) == topics[0]]
    return next(iter(difflib.get_close_matches(name, of_topic, n=1)), "")


def _topic(name: str) -> str:
    return name.removeprefix(PREFIX).split(".")[0]


def publisher_remedy(node: Node, topic: str, policy: QoSPolicyKind, offered: QoSProfile) -> str:
    """Return which overrides make this node's publisher offer what its subscribers ask for."""
    asked = [info.qos_profile for info in node.get_subscriptions_info_by_topic(topic)]
    values: dict[QoSPolicyKind, str] = {}
    if policy == QoSPolicyKind.RELIABILITY:
        values[policy] = "reliable"
    elif policy == QoSPolicyKind.DURABILITY:
        values[policy] = "transient_local"
    elif policy == QoSPolicyKind.DEADLINE:
        values[policy] = str(min((each.deadline.nanoseconds for each in asked), default=0))
    elif policy == QoSPolicyKind.LIVELINESS:
        if any(each.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC for each in asked):
            values[policy] = "manual_by_topic"
        lease_ns = min((each.liveliness_lease_duration.nanoseconds for each in asked), default=0)
        offered_ns = offered.liveliness_lease_duration.nanoseconds
        if lease_ns and (not offered_ns or lease_ns < offered_ns):
            values[QoSPolicyKind.LIVELINESS_LEASE_DURATION] = str(lease_ns)
    return _describe(topic, PUBLISHER, values or {policy: "what it asks for"})


def subscription_remedy(topic: str, policy: QoSPolicyKind) -> str:
    """Return which overrides make this node's subscription ask for no more than any publisher offers."""
    least = {
        QoSPolicyKind.RELIABILITY: {policy: "best_effort"},
        QoSPolicyKind.DURABILITY: {policy: "volatile"},
        QoSPolicyKind.DEADLINE: {policy: "0"},
        QoSPolicyKind.LIVELINESS: {policy: "automatic", QoSPolicyKind.LIVELINESS_LEASE_DURATION: "0"},
    }
    return _describe(topic, SUBSCRIPTION, least.get(policy, {policy: "what it offers"}))


def _describe(topic: str, side: str, values: dict[QoSPolicyKind, str]) -> str:
    settings = [f"{override_name(topic, side, policy)} to {value}" for policy, value in values.items()]
    return f"set the parameter{'s' * (len(settings) > 1)} {' and '.join(settings)} and start this node again"


def _policies(side: str) -> list[QoSPolicyKind]:
    # A subscription has no lifespan.
    return [policy for policy in _DECLARED + _ON_DEMAND if side == PUBLISHER or policy != QoSPolicyKind.LIFESPAN]


def _check(name: str, policy: QoSPolicyKind, node: Node) -> None:
    value = node.get_parameter(name).value
    if policy in _WORDS:
        words = [word.lower() for word in _WORDS[policy].__members__ if word.isupper()]
        expected = ", ".join(word for word in words if word not in _NO_CHOICE)
        is_good = isinstance(value, str) and value.lower() in words
    else:
        expected = "a whole number from 0 up"
        if policy != QoSPolicyKind.DEPTH:
            expected += ", nanoseconds"
        is_good = type(value) is int and value >= 0
    if not is_good:
        raise ConfigurationError(f"parameter {name} is {value!r}, expected {expected}")
