"""RangeInput: ranges of another sensor on `scale.topic`, as points in the camera's optical frame, by stamp."""

import collections
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from sensor_msgs.msg import LaserScan, PointCloud2, Range

from metric3d_ros.errors import MessageError
from metric3d_ros.messages.ranges import cloud_to_ranges, range_to_points, scan_to_points
from metric3d_ros.messages.stamps import stamp_ns
from metric3d_ros.nodes.parameters.corrections.scale import LASER_SCAN, POINT_CLOUD, RANGE
from metric3d_ros.nodes.parameters.depth_node import DepthParameters
from metric3d_ros.nodes.ros.qos import create_input, image_input
from metric3d_ros.scale import ScaleRefusal
from metric3d_ros.scale.measurements import RANGES

RANGE_TYPES: dict[str, Any] = {LASER_SCAN: LaserScan, POINT_CLOUD: PointCloud2, RANGE: Range}
_READERS: dict[str, Callable[[Any], npt.NDArray[np.float32]]] = {
    LASER_SCAN: scan_to_points,
    POINT_CLOUD: cloud_to_ranges,
    RANGE: range_to_points,
}
_KEPT = 20


class RangeInput:
    """Keeps the latest messages; read only for the frames that need them."""

    def __init__(self, node: Node, *, parameters: DepthParameters) -> None:
        """Subscribe if `scale.topic` is set."""
        self._lock = threading.Lock()
        self._messages: collections.deque[Any] = collections.deque(maxlen=_KEPT)
        topic, kind = parameters.scale.topic, parameters.scale.topic_type
        self._read = _READERS[kind]
        self._topic = topic
        if topic:
            create_input(node, RANGE_TYPES[kind], topic, self._keep, profile=image_input(parameters.qos))

    def _keep(self, message: Any) -> None:
        with self._lock:
            self._messages.append(message)

    def at(
        self, stamp_s: float, *, max_age_s: float, transform: Sequence[float]
    ) -> npt.NDArray[np.float32] | ScaleRefusal | None:
        """Return the points (N, 3), metres in the optical frame, of the message nearest in time; None without a topic.

        `transform` is x y z, roll pitch yaw of the optical frame in the sensor's. A refusal says why there are none.
        """
        if not self._topic:
            return None
        with self._lock:
            messages = list(self._messages)
        if not messages:
            return ScaleRefusal(RANGES, f"nothing has come on {self._topic}")
        nearest = min(messages, key=lambda message: abs(stamp_ns(message) / 1e9 - stamp_s))
        apart_s = abs(stamp_ns(nearest) / 1e9 - stamp_s)
        if apart_s > max_age_s:
            return ScaleRefusal(
                RANGES, f"the ranges nearest in time are {apart_s:.3g} s off, expected at most {max_age_s:g} s"
            )
        try:
            points = self._read(nearest)
        except MessageError as error:
            return ScaleRefusal(RANGES, str(error))
        return np.asarray((points - np.asarray(transform[:3], np.float32)) @ _rotation(*transform[3:]), np.float32)


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
