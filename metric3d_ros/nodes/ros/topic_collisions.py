"""Refuses names by which a node would hear itself, or would publish on a topic that is somebody else's."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.outlet.outputs import OUTPUTS
from metric3d_ros.nodes.outlet.publishers import output_topic, transport_topic
from metric3d_ros.nodes.parameters.depth import COMPRESSED, DepthParameters

_OF_RCLPY = ("/rosout", "/parameter_events")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One use that a node makes of a topic."""

    name: str
    """In full, after remapping."""
    label: str
    """As it is called before remapping, such as depth/camera_info."""
    publishes: bool
    kind: Any = None
    """The message type; None where there is nothing to compare it with."""
    is_own: bool = True
    """False for a topic that the camera's driver publishes, whether or not this node subscribes to it."""


def check_depth_node_topics(node: Node, parameters: DepthParameters, *, others: Iterable[str]) -> None:
    """Raise ConfigurationError where an output of depth_node meets an input, another output or the camera's own topic.

    Args:
        others: topics that the node publishes beside its outputs, as it calls them.
    """
    endpoints = [Endpoint(name=name, label=name, publishes=True) for name in _OF_RCLPY]
    endpoints += [Endpoint(name=str(node.resolve_topic_name(topic)), label=topic, publishes=True) for topic in others]
    for camera in parameters.camera_names:
        prefix = f"{camera}/" if camera else ""
        endpoints += _inputs(node, parameters, prefix)
        endpoints += _outputs(node, parameters, prefix)
    # What the node itself does first, since that says more.
    refuse_collisions(node, sorted(endpoints, key=lambda endpoint: not endpoint.is_own))


def refuse_collisions(node: Node, endpoints: Iterable[Endpoint]) -> None:
    """Raise ConfigurationError where two of these uses of a topic do not go together, with the remedy."""
    first_by_name: dict[str, Endpoint] = {}
    for endpoint in endpoints:
        first = first_by_name.setdefault(endpoint.name, endpoint)
        # Two inputs may share a topic, as cameras with one camera_info do, if both expect the same type.
        subscribed = first.is_own and endpoint.is_own
        if first is endpoint or not (
            first.publishes or endpoint.publishes or (subscribed and first.kind is not endpoint.kind)
        ):
            continue
        output, other = (endpoint, first) if endpoint.publishes else (first, endpoint)
        raise ConfigurationError(f"{_problem(output, other)}: {_remedy(node, output, other)}")


def beside(topic: str, name: str) -> str:
    """Return the topic `name` in the namespace of `topic`, as /camera/camera_info is beside /camera/image_raw."""
    return f"{topic.rpartition('/')[0]}/{name}"


def _inputs(node: Node, parameters: DepthParameters, prefix: str) -> Iterator[Endpoint]:
    image = str(node.resolve_topic_name(f"{prefix}image"))
    if parameters.image_transport == COMPRESSED:
        compressed = str(node.resolve_topic_name(transport_topic(node, f"{prefix}image", COMPRESSED)))
        yield Endpoint(name=compressed, label=f"{prefix}image/compressed", publishes=False, kind=CompressedImage)
        yield Endpoint(name=image, label=f"{prefix}image", publishes=False, kind=Image, is_own=False)
    else:
        yield Endpoint(name=image, label=f"{prefix}image", publishes=False, kind=Image)
    own = str(node.resolve_topic_name(f"{prefix}camera_info"))
    if not parameters.replaces_camera_info:
        yield Endpoint(name=own, label=f"{prefix}camera_info", publishes=False, kind=CameraInfo)
    # Drivers publish camera_info there, whatever is subscribed here.
    sibling = beside(image, "camera_info")
    if sibling != image:
        yield Endpoint(name=sibling, label=f"{prefix}camera_info", publishes=False, kind=CameraInfo, is_own=False)


def _outputs(node: Node, parameters: DepthParameters, prefix: str) -> Iterator[Endpoint]:
    for each in OUTPUTS:
        if getattr(parameters.outputs, each.switch):
            name = str(node.resolve_topic_name(output_topic(node, prefix, each)))
            yield Endpoint(name=name, label=prefix + each.topic, publishes=True, kind=each.message_type)


def _problem(output: Endpoint, other: Endpoint) -> str:
    if not output.publishes:
        return f"{output.label} and {other.label} are both {output.name}, but messages of one type only can come there"
    if other.publishes:
        return f"{output.label} and {other.label} are both {output.name}, expected a topic of its own for each output"
    if not other.is_own:
        return (
            f"{output.label} would be published on {output.name}, which is the camera's own {other.label}: two "
            "publishers, and others would hear both"
        )
    return f"{output.label} would be published on {output.name}, to which this node subscribes as {other.label}"


def _remedy(node: Node, output: Endpoint, other: Endpoint) -> str:
    for endpoint in (output, other):
        default = str(node.resolve_topic_name(endpoint.label, only_expand=True))
        if default != output.name and endpoint.is_own:
            return f"remap {endpoint.label} to another topic, such as {default}"
    return f"remap {output.label} to another topic, such as /metric3d{output.name}"
