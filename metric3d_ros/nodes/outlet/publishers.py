"""The publishers of one camera's outputs: sends their messages and finds out which of them have a subscriber."""

from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy

from metric3d_ros.nodes.outlet.message_classes import message_class
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.ros.publish_without_copy import publish_without_copy
from metric3d_ros.nodes.ros.qos import create_output, output
from metric3d_ros.nodes.ros.topic_names import transport_topic
from metric3d_ros.outputs.table import OUTPUTS, Output


class OutputPublishers:
    """One publisher for each output that is switched on."""

    def __init__(self, node: Node, *, parameters: DepthParameters, prefix: str = "") -> None:
        """Advertise the outputs; `prefix` goes before each topic, such as "front/"."""
        profile = output(parameters.qos)
        self._publishers: dict[str, Publisher] = {
            each.topic: create_output(node, message_class(each), output_topic(node, prefix, each), profile=profile)
            for each in OUTPUTS
            if getattr(parameters.outputs, each.switch)
        }
        self._publish = {
            each.topic: publish_without_copy(self._publishers[each.topic], message_class(each))
            for each in OUTPUTS
            if each.topic in self._publishers
        }

    def wanted(self) -> tuple[str, ...]:
        """Return the topics that have a subscriber, and those that are kept for subscribers yet to come."""
        return tuple(each.topic for each in OUTPUTS if each.topic in self._publishers and self._is_wanted(each.topic))

    def _is_wanted(self, topic: str) -> bool:
        publisher = self._publishers[topic]
        is_latched = publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        return is_latched or publisher.get_subscription_count() > 0

    def publish(self, topic: str, message: Any) -> None:
        """Publish the message of an output. Different outputs may be published on different threads."""
        self._publish[topic](message)


def output_topic(node: Node, prefix: str, each: Output) -> str:
    """Return the topic of an output as it is advertised; `prefix` goes before it, such as "front/"."""
    if each.transport_of:
        return transport_topic(node, prefix + each.transport_of, each.topic.rpartition("/")[2])
    return prefix + each.topic
