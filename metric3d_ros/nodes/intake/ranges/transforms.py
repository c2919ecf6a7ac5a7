"""Where another sensor is, in the camera's frame: from numbers that are given, or from tf2."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from metric3d_ros.errors import ConfigurationError, DataError

Points = npt.NDArray[np.float32]


class Transform(Protocol):
    """Brings points of another sensor into the camera."""

    def apply(self, points: Points, header: Any, *, frame_id: str, given: Sequence[float]) -> Points:
        """Return points (N, 3) of a message with this header in the camera's optical frame `frame_id`, metres.

        `given` is the parameter `scale.transform`. Raises DataError if it is not known where the sensor is.
        """


class GivenTransform:
    """Takes x y z, roll pitch yaw of the optical frame in the sensor's."""

    def apply(self, points: Points, header: Any, *, frame_id: str, given: Sequence[float]) -> Points:
        """See `Transform`."""
        moved = points - np.asarray(given[:3], np.float32)
        return np.asarray(moved @ _rotation(*given[3:]), np.float32)


class TfTransform:
    """Looks up in tf2 the transform from a message's frame to the camera's, at the message's stamp."""

    def __init__(self, node: Node) -> None:
        """Subscribe to /tf and /tf_static; what came is forgotten if the node's time goes back, as in a bag's loop.

        Raises ConfigurationError if tf2_ros is not installed.
        """
        try:
            import tf2_ros
        except ImportError as error:
            raise ConfigurationError(
                "parameter scale.use_tf is true, but tf2_ros is not installed: sudo apt install "
                "ros-$ROS_DISTRO-tf2-ros-py, or set scale.transform in its place"
            ) from error
        self._failures = tf2_ros.TransformException
        # Without the node, since it would offer the service tf2_frames to everyone; hence its clock's jumps here.
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        jumps = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self._jumps = node.get_clock().create_jump_callback(jumps, post_callback=lambda _: self._buffer.clear())

    def apply(self, points: Points, header: Any, *, frame_id: str, given: Sequence[float]) -> Points:
        """See `Transform`."""
        try:
            found = self._buffer.lookup_transform(frame_id, header.frame_id, Time.from_msg(header.stamp))
        except self._failures as error:
            raise DataError(
                f"tf has no transform from '{header.frame_id}' to '{frame_id}' at the ranges' stamp ({error}): publish "
                "it, or set scale.transform and scale.use_tf to false"
            ) from error
        turn, offset = found.transform.rotation, found.transform.translation
        numbers = (turn.x, turn.y, turn.z, turn.w, offset.x, offset.y, offset.z)
        if not all(math.isfinite(number) for number in numbers) or abs(math.hypot(*numbers[:4]) - 1) > 0.01:
            raise DataError(f"tf's transform from '{header.frame_id}' to '{frame_id}' is no rotation and translation")
        return np.asarray(points @ _matrix(*numbers[:4]).T + np.asarray(numbers[4:], np.float32), np.float32)


def _matrix(x: float, y: float, z: float, w: float) -> npt.NDArray[np.float32]:
    """Return the rotation (3, 3) of a unit quaternion."""
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        np.float32,
    )


def _rotation(roll: float, pitch: float, yaw: float) -> npt.NDArray[np.float32]:
    """Return the rotation (3, 3) of fixed axes: roll about x, then pitch about y, then yaw about z (REP-103)."""
    (sr, cr), (sp, cp), (sy, cy) = ((math.sin(angle), math.cos(angle)) for angle in (roll, pitch, yaw))
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ],
        np.float32,
    )
