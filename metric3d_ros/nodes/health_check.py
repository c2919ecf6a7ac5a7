"""`metric3d health`: checks depth_node by its /diagnostics; gives an exit status to containers and supervisors."""

import argparse
import os
import time
from typing import Any

from metric3d_ros.errors import DataError
from metric3d_ros.nodes.health.camera_health import Level

_SPIN_S = 0.1
_UNHEALTHY = Level.ERROR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d health`."""
    parser.epilog = "The exit status is 0 if the node reports no error, and 1 otherwise. A silent camera is no error."
    parser.add_argument("--node", default="depth_node", help="the node, with its namespace (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=8.0, metavar="S", help="how long to wait for /diagnostics, s (default: 8)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the node's states; return 1 if one is an error. Raises DataError if the node reports nothing."""
    reports = _receive(args.node.strip("/"), timeout_s=args.timeout)
    for report in reports:
        print(f"{report.name}: {report.message}")
    return 1 if any(ord(report.level) >= _UNHEALTHY for report in reports) else 0


def _receive(node_name: str, *, timeout_s: float) -> list[Any]:
    """Return the DiagnosticStatus messages of the first array that the node publishes."""
    import metric3d_ros.nodes.ros.require_ros  # noqa: F401

    # isort: split
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    from metric3d_ros.nodes.health.diagnostics import DIAGNOSTICS_TOPIC
    from metric3d_ros.nodes.ros.log_files import WITHOUT_FILES

    found: list[Any] = []

    def take(array: Any) -> None:
        found[:] = found or [status for status in array.status if status.name.startswith(f"{node_name}: ")]

    context = Context()
    rclpy.init(args=[*WITHOUT_FILES], context=context)
    try:
        node = Node(f"metric3d_health_{os.getpid()}", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            node.create_subscription(DiagnosticArray, DIAGNOSTICS_TOPIC, take, 10)
            deadline_s = time.monotonic() + timeout_s
            while not found and time.monotonic() < deadline_s:
                executor.spin_once(timeout_sec=_SPIN_S)
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
    if not found:
        raise DataError(
            f"{node_name} reported nothing on {DIAGNOSTICS_TOPIC} within {timeout_s:g} s: see whether it runs, in this "
            "ROS domain and under this name (--node)"
        )
    return found
