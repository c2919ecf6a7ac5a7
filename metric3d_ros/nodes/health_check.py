"""`metric3d health`: checks depth_node by its /diagnostics; gives an exit status to containers and supervisors."""

import argparse
from typing import Any

from metric3d_ros.command_line import require_numbers
from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.nodes.health.camera_health import Level
from metric3d_ros.nodes.ros.topic_names import NAME_RULES, is_ros_name

_UNHEALTHY = Level.ERROR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d health`."""
    parser.epilog = (
        "The exit status is 0 if the node reports no error, and 1 otherwise. A silent camera is not an error."
    )
    parser.add_argument("--node", default="depth_node", help="the node, with its namespace (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=8.0, metavar="S", help="how long to wait for /diagnostics, s (default: 8)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the node's states; return 1 if one is an error.

    Raises ConfigurationError for what can be no node's name, DataError if the node reports nothing.
    """
    require_numbers(args, "timeout", above=0, unit="seconds")
    node_name = args.node.strip("/")
    if not is_ros_name(node_name):
        raise ConfigurationError(
            f"--node is '{shorten(args.node, 80)}', expected the name of a node such as depth_node or "
            f"/front/depth_node: {NAME_RULES}"
        )
    reports = _receive(node_name, timeout_s=args.timeout)
    for report in reports:
        print(f"{report.name}: {report.message}")
    return 1 if any(ord(report.level) >= _UNHEALTHY for report in reports) else 0


def _receive(node_name: str, *, timeout_s: float) -> list[Any]:
    """Return the DiagnosticStatus messages of the first array that the node publishes."""
    # Loaded only now: `metric3d --help` needs no ROS. First, because it explains a missing one.
    from metric3d_ros.nodes.instruments.brief_node import brief_node

    # isort: split
    from diagnostic_msgs.msg import DiagnosticArray

    from metric3d_ros.nodes.health.diagnostics import DIAGNOSTICS_TOPIC

    found: list[Any] = []

    def take(array: Any) -> None:
        found[:] = found or [status for status in array.status if status.name.startswith(f"{node_name}: ")]

    with brief_node("metric3d_health") as (node, spin_until):
        node.create_subscription(DiagnosticArray, DIAGNOSTICS_TOPIC, take, 10)
        spin_until(lambda: bool(found), timeout_s=timeout_s)
    if not found:
        raise DataError(
            f"{node_name} reported nothing on {DIAGNOSTICS_TOPIC} within {timeout_s:g} s: check that it runs in this "
            "ROS domain and under this name (--node)"
        )
    return found
