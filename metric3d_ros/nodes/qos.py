"""Quality of service: what a kind of topic uses, overrides by parameter, and warnings about peers that do not fit."""

from typing import Any

from rclpy.event_handler import (
    PublisherEventCallbacks,
    QoSOfferedIncompatibleQoSInfo,
    QoSRequestedIncompatibleQoSInfo,
    SubscriptionEventCallbacks,
)
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

# Best effort suits every camera. Depth 1: a slow callback wants the newest image, not a queue of old ones.
IMAGE_INPUT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# camera_info is small and may come in bursts before its image.
CAMERA_INFO_INPUT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
# Reliable suits readers of both kinds; a best-effort writer would be invisible to reliable ones.
OUTPUT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE)


def create_input(node: Node, message_type: Any, topic: str, callback: Any, *, profile: QoSProfile) -> Subscription:
    """Subscribe, with `qos_overrides` parameters and a warning where a publisher's QoS does not fit."""
    name = node.resolve_topic_name(topic)

    def warn(event: QoSRequestedIncompatibleQoSInfo) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        node.get_logger().warning(
            f"a publisher of {name} offers less {policy} than is asked for here, so nothing comes from it: "
            f"set the parameter qos_overrides.{name}.subscription.{policy.lower()}"
        )

    return node.create_subscription(
        message_type,
        topic,
        callback,
        profile,
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=warn),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )


def create_output(node: Node, message_type: Any, topic: str, *, profile: QoSProfile = OUTPUT) -> Publisher:
    """Advertise, with `qos_overrides` parameters and a warning where a subscriber's QoS does not fit."""
    name = node.resolve_topic_name(topic)

    def warn(event: QoSOfferedIncompatibleQoSInfo) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        node.get_logger().warning(
            f"a subscriber of {name} asks for more {policy} than is offered, so it gets nothing: change its QoS, or "
            f"set the parameter qos_overrides.{name}.publisher.{policy.lower()}"
        )

    return node.create_publisher(
        message_type,
        topic,
        profile,
        event_callbacks=PublisherEventCallbacks(incompatible_qos=warn),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
