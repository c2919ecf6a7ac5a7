"""The topics that depth_node publishes for its cameras."""

from collections.abc import Iterator

from rclpy.node import Node

from metric3d_ros.nodes.outlet.message_classes import message_class
from metric3d_ros.nodes.outlet.publishers import output_topic
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.ros.topic_collisions import Endpoint
from metric3d_ros.outputs.table import OUTPUTS


def output_endpoints(node: Node, parameters: DepthParameters) -> Iterator[Endpoint]:
    """Yield the outputs of all cameras that are switched on, for `refuse_collisions`."""
    for camera in parameters.camera_names:
        yield from _outputs(node, parameters, f"{camera}/" if camera else "")


def _outputs(node: Node, parameters: DepthParameters, prefix: str) -> Iterator[Endpoint]:
    for each in OUTPUTS:
        if getattr(parameters.outputs, each.switch):
            name = str(node.resolve_topic_name(output_topic(node, prefix, each)))
            yield Endpoint(name=name, label=prefix + each.topic, publishes=True, kind=message_class(each))
