"""The topics that depth_node subscribes to, and those of the camera's driver that it must leave alone."""

from collections.abc import Iterator

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from metric3d_ros.nodes.intake.ranges.range_input import RANGE_TYPES
from metric3d_ros.nodes.parameters.depth_node_parameters import COMPRESSED, DepthParameters
from metric3d_ros.nodes.ros.topic_collisions import Endpoint
from metric3d_ros.nodes.ros.topic_names import COMPRESSED_SUFFIX, camera_info_beside, transport_topic


def input_endpoints(node: Node, parameters: DepthParameters) -> Iterator[Endpoint]:
    """Yield the inputs of all cameras for `refuse_collisions`."""
    if parameters.scale.topic:
        name = str(node.resolve_topic_name(parameters.scale.topic))
        kind = RANGE_TYPES[parameters.scale.topic_type]
        yield Endpoint(name=name, label="scale.topic", publishes=False, kind=kind)
    for camera in parameters.camera_names:
        yield from _inputs(node, parameters, f"{camera}/" if camera else "")


def _inputs(node: Node, parameters: DepthParameters, prefix: str) -> Iterator[Endpoint]:
    image = str(node.resolve_topic_name(f"{prefix}image"))
    if parameters.image_transport == COMPRESSED:
        compressed = str(node.resolve_topic_name(transport_topic(node, f"{prefix}image", COMPRESSED)))
        yield Endpoint(
            name=compressed, label=f"{prefix}image{COMPRESSED_SUFFIX}", publishes=False, kind=CompressedImage
        )
        yield Endpoint(name=image, label=f"{prefix}image", publishes=False, kind=Image, is_own=False)
    else:
        yield Endpoint(name=image, label=f"{prefix}image", publishes=False, kind=Image)
    own = str(node.resolve_topic_name(f"{prefix}camera_info"))
    if not parameters.replaces_camera_info:
        yield Endpoint(name=own, label=f"{prefix}camera_info", publishes=False, kind=CameraInfo)
    # Drivers publish camera_info there, whatever is subscribed here.
    sibling = camera_info_beside(image)
    if sibling != image:
        yield Endpoint(name=sibling, label=f"{prefix}camera_info", publishes=False, kind=CameraInfo, is_own=False)
