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
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from metric3d_ros.nodes.qos_parameters import BEST_EFFORT, RELIABLE, QosParameters

# camera_info is small and may come in bursts before its image.
_CAMERA_INFO_DEPTH = 10
_RELIABILITY = {BEST_EFFORT: ReliabilityPolicy.BEST_EFFORT, RELIABLE: ReliabilityPolicy.RELIABLE}


def image_input(parameters: QosParameters) -> QoSProfile:
    """Return the profile of image subscriptions."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=parameters.input_depth,
        reliability=_RELIABILITY[parameters.input_reliability],
    )


def camera_info_input(parameters: QosParameters) -> QoSProfile:
    """Return the profile of camera_info subscriptions."""
    profile = image_input(parameters)
    profile.depth = max(profile.depth, _CAMERA_INFO_DEPTH)
    return profile


def output(parameters: QosParameters) -> QoSProfile:
    """Return the profile of everything that is published for an image."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=parameters.output_depth,
        reliability=_RELIABILITY[parameters.output_reliability],
    )


OUTPUT = output(QosParameters())
"""The profile of outputs without parameters for it."""


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


def subscribe_if_latched(node: Node, message_type: Any, topic: str, callback: Any) -> bool:
    """Subscribe once more where a publisher keeps its last message for those who come late; return whether one does.

    Only a subscription that is reliable and transient local gets that message, and it would hear no other publisher.
    """
    name = node.resolve_topic_name(topic)
    durabilities = [each.qos_profile.durability for each in node.get_publishers_info_by_topic(name)]
    if DurabilityPolicy.TRANSIENT_LOCAL not in durabilities:
        return False
    profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(message_type, topic, callback, profile)
    return True


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
