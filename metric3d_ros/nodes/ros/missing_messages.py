"""Explains why no messages arrive on a topic: no publisher, another type, another transport, QoS that cannot match.

It queries the ROS graph, so call it only if nothing arrives, or once a second.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.topic_endpoint_info import TopicEndpointInfo

from metric3d_ros.nodes.ros.qos_overrides import SUBSCRIPTION, override_name, subscription_remedy
from metric3d_ros.nodes.ros.topic_names import COMPRESSED_SUFFIX

_UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"
_MOST_NAMED = 3
_POLICIES = {
    QoSPolicyKind.DURABILITY: ("durability",),
    QoSPolicyKind.DEADLINE: ("deadline",),
    QoSPolicyKind.LIVELINESS: ("liveliness", "liveliness_lease_duration"),
}
"""Of those that can keep two ends apart, all but reliability, with their fields in a profile."""

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Why nothing comes on a topic."""

    text: str
    """With the remedy."""
    is_mistake: bool
    """What is published does not fit; False if it may only come later."""


@dataclass(frozen=True, kw_only=True)
class WantedTopic:
    """What a subscription expects."""

    name: str
    """In full, after remapping."""
    label: str
    """As it is remapped: image or camera_info, with the camera's name before it if there are several."""
    type_name: str
    profile: QoSProfile
    base: str = ""
    """For compressed images, the topic to whose name image_transport's suffix was added."""


def explain_silence(node: Node, wanted: WantedTopic) -> Silence:
    """Return why nothing comes on `wanted`."""
    publishers = node.get_publishers_info_by_topic(wanted.name)
    fitting = [each for each in publishers if each.topic_type == wanted.type_name]
    if not publishers:
        return _explain_absence(node, wanted)
    if not fitting:
        return Silence(text=_explain_type(wanted, publishers), is_mistake=True)
    # A publisher that matches may exist without publishing anything.
    refusals = [text for each in fitting if (text := _explain_qos(wanted, each))]
    if refusals:
        return Silence(text=refusals[0], is_mistake=True)
    text = f"{wanted.name} has {len(fitting)} publisher(s), but nothing comes from them"
    return Silence(text=text, is_mistake=False)


def describe_publishers(node: Node, topic: str, type_name: str) -> Sequence[str]:
    """Return the names of the nodes that publish `type_name` on `topic`, one for each publisher."""
    return [_node_name(each) for each in node.get_publishers_info_by_topic(topic) if each.topic_type == type_name]


def foreign_topics(node: Node, types: Collection[str], *, accept: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Return the topics with one of these `types` on which other nodes publish, in order of their names."""
    found = []
    own = (node.get_name(), node.get_namespace())
    for name, type_names in sorted(node.get_topic_names_and_types()):
        if not set(types) & set(type_names) or not accept(name):
            continue
        publishers = node.get_publishers_info_by_topic(name)
        if any((each.node_name, each.node_namespace) != own for each in publishers if each.topic_type in types):
            found.append(name)
    return found


def _explain_absence(node: Node, wanted: WantedTopic) -> Silence:
    start = f"nothing publishes on {wanted.name}"
    if wanted.type_name == CAMERA_INFO_TYPE:
        offered = _offered(node, wanted)
        remedy = (
            f"remap {wanted.label} to the camera's topic, or set the parameter camera_info_url, intrinsics or hfov_deg"
        )
        return Silence(text=f"{start}{offered}; {remedy}", is_mistake=False)
    if wanted.base:
        base_types = {each.topic_type for each in node.get_publishers_info_by_topic(wanted.base)}
        if COMPRESSED_TYPE in base_types:
            problem = f"{start}, but {wanted.base} itself holds compressed images"
            return Silence(text=f"{problem}: {_compressed_remedy(wanted, wanted.base)}", is_mistake=True)
        if IMAGE_TYPE in base_types:
            problem = f"{start}, but {wanted.base} holds raw images"
            return Silence(text=f"{problem}: set the parameter image_transport to raw", is_mistake=True)
    else:
        compressed = wanted.name + COMPRESSED_SUFFIX
        if describe_publishers(node, compressed, COMPRESSED_TYPE):
            problem = f"{start}, but {compressed} holds compressed images"
            return Silence(text=f"{problem}: set the parameter image_transport to compressed", is_mistake=True)
    offered = _offered(node, wanted)
    return Silence(text=f"{start}{offered}; remap {wanted.label} to the camera's topic", is_mistake=False)


def _offered(node: Node, wanted: WantedTopic) -> str:
    topics = foreign_topics(node, [wanted.type_name])
    if wanted.base:
        # What image is remapped to; image_transport's suffix comes after it.
        topics = [topic.removesuffix(COMPRESSED_SUFFIX) for topic in topics]
    if not topics:
        return ""
    more = f" and {len(topics) - _MOST_NAMED} more" if len(topics) > _MOST_NAMED else ""
    kind = wanted.type_name.rpartition("/")[2]
    return f" ({kind} is published on {', '.join(topics[:_MOST_NAMED])}{more})"


def _explain_type(wanted: WantedTopic, publishers: Sequence[TopicEndpointInfo]) -> str:
    other = publishers[0]
    problem = f"{_node_name(other)} publishes {other.topic_type} on {wanted.name}, expected {wanted.type_name}"
    if wanted.type_name == IMAGE_TYPE and other.topic_type == COMPRESSED_TYPE:
        return (
            f"{problem}: set the parameter image_transport to compressed, and {_compressed_remedy(wanted, wanted.name)}"
        )
    if wanted.type_name == COMPRESSED_TYPE and other.topic_type == IMAGE_TYPE:
        return f"{problem}: set the parameter image_transport to raw, and remap {wanted.label} to {wanted.name}"
    return f"{problem}: remap {wanted.label} to a topic of that type"


def _compressed_remedy(wanted: WantedTopic, compressed: str) -> str:
    """Return how to subscribe to `compressed` when image_transport is compressed."""
    if compressed.endswith(COMPRESSED_SUFFIX):
        base = compressed.removesuffix(COMPRESSED_SUFFIX)
        return f"remap {wanted.label} to {base}, since {COMPRESSED_SUFFIX} is added to it"
    return f"add the remapping {compressed}{COMPRESSED_SUFFIX}:={compressed}, since {COMPRESSED_SUFFIX} is added to it"


def _explain_qos(wanted: WantedTopic, publisher: TopicEndpointInfo) -> str:
    """Return why this publisher does not match; "" if it does."""
    offered, asked = publisher.qos_profile, wanted.profile
    compatibility, reason = qos_check_compatible(offered, asked)
    if compatibility != QoSCompatibility.ERROR:
        return ""
    who = f"{_node_name(publisher)} does not match on {wanted.name}"
    if (offered.reliability, asked.reliability) == (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE):
        override = override_name(wanted.name, SUBSCRIPTION, QoSPolicyKind.RELIABILITY)
        return (
            f"{who}: it publishes best effort, and reliable is asked for here; set qos.input_reliability to "
            f"best_effort, or {override} if that is set"
        )
    for policy, fields in _POLICIES.items():
        each_side = (QoSProfile(depth=1, **{name: getattr(side, name) for name in fields}) for side in (offered, asked))
        if qos_check_compatible(*each_side)[0] == QoSCompatibility.ERROR:
            return (
                f"{who}: it offers less {policy.name.lower()} than is asked for here; "
                f"{subscription_remedy(wanted.name, policy)}"
            )
    return f"{who}: {reason}; change the publisher's QoS"


def _node_name(publisher: Any) -> str:
    if publisher.node_name == _UNKNOWN_NODE:
        return "a publisher"
    return f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
