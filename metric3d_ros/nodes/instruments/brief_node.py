"""A node that lives until it has received something, for commands that are not nodes themselves."""

import metric3d_ros.nodes.ros.require_ros  # noqa: F401, ends with one line without ROS 2

# isort: split
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from metric3d_ros.nodes.ros.log_files import WITHOUT_FILES

_SPIN_S = 0.1
_TYPE_DESCRIPTIONS = "start_type_description_service"
"""A parameter of rclpy since Jazzy; of no effect before."""


class SpinUntil(Protocol):
    """Spins a node until `done` returns True, for at most `timeout_s`."""

    def __call__(self, done: Callable[[], bool], *, timeout_s: float) -> None: ...


@contextlib.contextmanager
def brief_node(name: str) -> Iterator[tuple[Node, SpinUntil]]:
    """Yield a node NAME_PID in a ROS context of its own, and what spins it.

    It writes no log files, publishes no log and offers no services.
    """
    context = Context()
    rclpy.init(args=[*WITHOUT_FILES], context=context)
    try:
        node = Node(
            f"{name}_{os.getpid()}",
            context=context,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter(_TYPE_DESCRIPTIONS, value=False)],
        )
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)

        def spin_until(done: Callable[[], bool], *, timeout_s: float) -> None:
            deadline_s = time.monotonic() + timeout_s
            while not done() and time.monotonic() < deadline_s:
                executor.spin_once(timeout_sec=_SPIN_S)

        try:
            yield node, spin_until
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
