"""Receives one camera_info from a topic, for programs that are not nodes."""

from typing import Any

# First, because it explains a missing ROS.
from metric3d_ros.nodes.instruments.brief_node import brief_node

# isort: split
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from metric3d_ros.errors import DataError

# Best effort and volatile matches every publisher that is still publishing; the other one receives what was latched.
_LIVE = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def receive_camera_info(topic: str, *, timeout_s: float) -> Any:
    """Return the first sensor_msgs/CameraInfo on `topic`, a latched one too; DataError if none arrives."""
    received: list[CameraInfo] = []
    with brief_node("metric3d_check_camera") as (node, spin_until):
        for profile in (_LIVE, _LATCHED):
            node.create_subscription(CameraInfo, topic, received.append, profile)
        spin_until(lambda: bool(received), timeout_s=timeout_s)
        publishers = node.count_publishers(topic)
    if not received:
        raise DataError(
            f"no camera_info came on {topic} within {timeout_s:g} s ({publishers} publisher(s)); expected a topic of "
            "sensor_msgs/CameraInfo, or the path of a calibration file"
        )
    return received[0]
