"""Quality of service: the profile of each kind of topic, overrides by parameter, warnings about incompatible peers."""

import copy
from typing import Any

from rclpy.event_handler import (
    PublisherEventCallbacks,
    QoSOfferedIncompatibleQoSInfo,
    QoSRequestedIncompatibleQoSInfo,
    SubscriptionEventCallbacks,
)
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.subscription import Subscription

from metric3d_ros.nodes.parameters.qos_parameters import BEST_EFFORT, RELIABLE, QosParameters
from metric3d_ros.nodes.ros.qos_overrides import (
    PUBLISHER,
    SUBSCRIPTION,
    overriding_options,
    publisher_remedy,
    subscription_remedy,
)

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
    """Subscribe, with `qos_overrides` parameters and a warning if a publisher's QoS does not fit.

    Raises ConfigurationError for an override whose value is none.
    """
    name = node.resolve_topic_name(topic)

    def warn(event: QoSRequestedIncompatibleQoSInfo) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        node.get_logger().warning(
            f"a publisher of {name} offers less {policy} than is asked for here, so nothing comes from it: "
            f"{subscription_remedy(name, QoSPolicyKind(event.last_policy_kind))}"
        )

    return node.create_subscription(
        message_type,
        topic,
        callback,
        copy.copy(profile),
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=warn),
        qos_overriding_options=overriding_options(node, name, SUBSCRIPTION),
    )


def subscribe_if_latched(node: Node, message_type: Any, topic: str, callback: Any) -> bool:
    """Subscribe once more if a publisher is transient local (latched); return whether one is.

    Only a subscription that is reliable and transient local gets that message, and it would match no other publisher.
    """
    name = node.resolve_topic_name(topic)
    durabilities = [each.qos_profile.durability for each in node.get_publishers_info_by_topic(name)]
    if DurabilityPolicy.TRANSIENT_LOCAL not in durabilities:
        return False
    profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(message_type, topic, callback, profile)
    return True


def create_output(node: Node, message_type: Any, topic: str, *, profile: QoSProfile = OUTPUT) -> Publisher:
    """Advertise, with `qos_overrides` parameters and a warning if a subscriber's QoS does not fit.

    Raises ConfigurationError for an override whose value is none.
    """
    name = node.resolve_topic_name(topic)

    def warn(event: QoSOfferedIncompatibleQoSInfo) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        node.get_logger().warning(
            f"a subscriber of {name} asks for more {policy} than is offered, so it gets nothing: change its QoS, or "
            f"{publisher_remedy(node, name, QoSPolicyKind(event.last_policy_kind), publisher.qos_profile)}"
        )

    publisher = node.create_publisher(
        message_type,
        topic,
        # rclpy writes the overrides into it.
        copy.copy(profile),
        event_callbacks=PublisherEventCallbacks(incompatible_qos=warn),
        qos_overriding_options=overriding_options(node, name, PUBLISHER),
    )
    return publisher
