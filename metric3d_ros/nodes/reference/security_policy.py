"""config/sros2_policy.xml: the least that each node needs on the network, for SROS2, from the tables that it uses."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from metric3d_ros.nodes import view
from metric3d_ros.nodes.health.diagnostics import DIAGNOSTICS_TOPIC
from metric3d_ros.nodes.reference.topic_page import INPUTS, OF_OTHER_SENSORS, OTHERS, SERVICES
from metric3d_ros.nodes.ros.topic_names import COMPRESSED_SUFFIX
from metric3d_ros.outputs.table import OUTPUTS

READING_PARAMETERS = ("describe_parameters", "get_parameter_types", "get_parameters", "list_parameters")
BUILT_IN_SERVICES = (
    *READING_PARAMETERS,
    "set_parameters",
    "set_parameters_atomically",
    "get_logger_levels",
    "set_logger_levels",
    "get_type_description",
)
"""What rclpy offers under the name of each node."""
OF_EVERY_NODE = ("/parameter_events",)
"""What rclpy publishes for each node, whatever it is asked to leave out."""
BUILT_IN_TOPICS = (*OF_EVERY_NODE, "/rosout")
"""What rclpy publishes for a node of ours."""
CLOCK = "/clock"
"""What rclpy subscribes to if `use_sim_time` is true."""

_OPERATOR = "operator"
_COMMAND_LINE = "/_ros2cli_*"
"""The nodes of `ros2 service call` and `ros2 param set`, whose names end in their process numbers."""

_HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- Written by `python -m metric3d_ros.nodes.reference`: change the tables in metric3d_ros/nodes, not this file.

     What each process of this package may do on the network, for SROS2: see docs/security.md. Copy it, then set ns
     to the node's namespace, write remapped topics in full, the topic of scale.topic in place of ranges, and repeat
     topics and services for each name in cameras.
     Whatever is not listed is denied. Only the operator's enclave may call services. -->
"""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one enclave may do: names of topics and services, relative to the node's namespace."""

    node: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    reply: tuple[str, ...] = ()
    """Services that it offers."""
    request: tuple[str, ...] = ()
    """Services that it may call."""

    @property
    def enclave(self) -> str:
        """The path of its enclave."""
        return f"/metric3d/{self.node}"


def profiles() -> list[Profile]:
    """Return what each enclave may do."""
    return [_depth_node(), _image_player(), _view(), _health(), _check_camera(), _operator()]


def policy_file() -> str:
    """Return config/sros2_policy.xml."""
    enclaves = "".join(_enclave(profile) for profile in profiles())
    return f'{_HEAD}<policy version="0.2.0">\n  <enclaves>\n{enclaves}  </enclaves>\n</policy>\n'


def _depth_node() -> Profile:
    return _node(
        "depth_node",
        publish=[output.topic for output in OUTPUTS] + [topic for topic, *_ in OTHERS],
        subscribe=[topic for topic, *_ in (*INPUTS, *OF_OTHER_SENSORS)],
        reply=[name for name, *_ in SERVICES],
    )


def _image_player() -> Profile:
    # It waits for depth of its last image if lockstep_topic names that topic.
    return _node("image_player", publish=["image", "camera_info"], subscribe=["depth/image"])


def _view() -> Profile:
    parser = argparse.ArgumentParser()
    view.add_arguments(parser)
    options = parser.parse_args([])
    topics = (
        options.image,
        f"{options.image}{COMPRESSED_SUFFIX}",
        options.camera_info,
        options.depth,
        options.depth_camera_info,
        options.normals,
        options.points,
    )
    return _node("view", subscribe=topics)


def _health() -> Profile:
    return Profile(node="health", publish=OF_EVERY_NODE, subscribe=(DIAGNOSTICS_TOPIC,))


def _check_camera() -> Profile:
    return Profile(node="check_camera", publish=OF_EVERY_NODE, subscribe=("camera_info",))


def _operator() -> Profile:
    of_depth_node = [name.removeprefix("~/") for name, *_ in SERVICES]
    called = [f"depth_node/{name}" for name in (*of_depth_node, *BUILT_IN_SERVICES)]
    called += [f"{node}/{name}" for node in ("image_player", "view") for name in READING_PARAMETERS]
    return Profile(
        node=_OPERATOR,
        publish=BUILT_IN_TOPICS,
        subscribe=(DIAGNOSTICS_TOPIC, *BUILT_IN_TOPICS, CLOCK),
        reply=(f"{_COMMAND_LINE}/get_type_description",),
        request=tuple(called),
    )


def _node(
    name: str, *, publish: Iterable[str] = (), subscribe: Iterable[str] = (), reply: Iterable[str] = ()
) -> Profile:
    """Return the profile of a node of this package: what it does itself, and what rclpy does for it."""
    return Profile(
        node=name,
        publish=(*publish, *BUILT_IN_TOPICS),
        subscribe=(*subscribe, CLOCK),
        reply=(*reply, *(f"~/{service}" for service in BUILT_IN_SERVICES)),
    )


def _enclave(profile: Profile) -> str:
    rules = (
        _rules("topics", "topic", "publish", profile.publish),
        _rules("topics", "topic", "subscribe", profile.subscribe),
        _rules("services", "service", "reply", profile.reply),
        _rules("services", "service", "request", profile.request),
    )
    return (
        f"    <enclave path={quoteattr(profile.enclave)}>\n"
        "      <profiles>\n"
        f'        <profile ns="/" node={quoteattr(profile.node)}>\n'
        f"{''.join(rules)}"
        "        </profile>\n"
        "      </profiles>\n"
        "    </enclave>\n"
    )


def _rules(group: str, element: str, right: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    lines = "".join(f"            <{element}>{name}</{element}>\n" for name in names)
    return f'          <{group} {right}="ALLOW">\n{lines}          </{group}>\n'
