"""Refuses topic names that collide: a node must not receive its own messages, nor publish on another node's topic."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from rclpy.node import Node

from metric3d_ros.errors import ConfigurationError

_OF_RCLPY = ("/rosout", "/parameter_events")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One use that a node makes of a topic."""

    name: str
    """In full, after remapping."""
    label: str
    """As it is called before remapping, such as depth/camera_info; or the parameter that names it."""
    publishes: bool
    kind: Any = None
    """The message type; None if there is nothing to compare it with."""
    is_own: bool = True
    """False for a topic that the camera's driver publishes, whether or not this node subscribes to it."""


def reserved_endpoints(node: Node, topics: Iterable[str]) -> Iterator[Endpoint]:
    """Yield the topics that a node publishes beside its outputs: rclpy's own, and `topics` as the node calls them."""
    for name in _OF_RCLPY:
        yield Endpoint(name=name, label=name, publishes=True)
    for topic in topics:
        yield Endpoint(name=str(node.resolve_topic_name(topic)), label=topic, publishes=True)


def refuse_collisions(node: Node, endpoints: Iterable[Endpoint]) -> None:
    """Raise ConfigurationError if two of these uses of a topic do not go together, with the remedy."""
    first_by_name: dict[str, Endpoint] = {}
    # The node's own uses first, since their message is clearer.
    for endpoint in sorted(endpoints, key=lambda each: not each.is_own):
        first = first_by_name.setdefault(endpoint.name, endpoint)
        # Two inputs may share a topic, as cameras with one camera_info do, if both expect the same type.
        subscribed = first.is_own and endpoint.is_own
        if first is endpoint or not (
            first.publishes or endpoint.publishes or (subscribed and first.kind is not endpoint.kind)
        ):
            continue
        output, other = (endpoint, first) if endpoint.publishes else (first, endpoint)
        raise ConfigurationError(f"{_problem(output, other)}: {_remedy(node, output, other)}")


def _problem(output: Endpoint, other: Endpoint) -> str:
    if not output.publishes:
        return f"{output.label} and {other.label} are both {output.name}, but messages of one type only can come there"
    if other.publishes:
        return f"{output.label} and {other.label} are both {output.name}, expected a topic of its own for each output"
    if not other.is_own:
        return (
            f"{output.label} would be published on {output.name}, which is the camera's own {other.label}: two "
            "publishers, and subscribers would receive both"
        )
    return f"{output.label} would be published on {output.name}, to which this node subscribes as {other.label}"


def _remedy(node: Node, output: Endpoint, other: Endpoint) -> str:
    for endpoint in (output, other):
        if _is_parameter(endpoint):
            return f"set {endpoint.label} to another topic"
    for endpoint in (output, other):
        default = str(node.resolve_topic_name(endpoint.label, only_expand=True))
        if default != output.name and endpoint.is_own:
            return f"remap {endpoint.label} to another topic, such as {default}"
    return f"remap {output.label} to another topic, such as /metric3d{output.name}"


def _is_parameter(endpoint: Endpoint) -> bool:
    """Return whether a parameter names the topic: their names have dots, which topics' names have not."""
    return "." in endpoint.label
