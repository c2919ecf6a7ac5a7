"""Receives one camera_info from a topic, for programs that are no nodes."""

import metric3d_ros.nodes.ros.require_ros  # noqa: F401

# isort: split
import os
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from metric3d_ros.errors import DataError

# Best effort and volatile matches every publisher that is still publishing; the other one receives what was latched.
_LIVE = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_SPIN_S = 0.1


def receive_camera_info(topic: str, *, timeout_s: float) -> Any:
    """Return the first sensor_msgs/CameraInfo that comes on `topic`, a latched one too; DataError if none comes."""
    context = Context()
    rclpy.init(context=context)
    received: list[CameraInfo] = []
    try:
        node = Node(f"metric3d_check_camera_{os.getpid()}", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            for profile in (_LIVE, _LATCHED):
                node.create_subscription(CameraInfo, topic, received.append, profile)
            deadline_s = time.monotonic() + timeout_s
            while not received and time.monotonic() < deadline_s:
                executor.spin_once(timeout_sec=_SPIN_S)
            publishers = node.count_publishers(topic)
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
    if not received:
        raise DataError(
            f"no camera_info came on {topic} within {timeout_s:g} s ({publishers} publisher(s)); expected a topic of "
            "sensor_msgs/CameraInfo, or the path of a calibration file"
        )
    return received[0]
