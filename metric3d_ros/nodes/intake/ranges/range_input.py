"""RangeInput: ranges of another sensor on `scale.topic`, as points in the camera's optical frame, by stamp."""

import collections
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from sensor_msgs.msg import LaserScan, PointCloud2, Range

from metric3d_ros.errors import DataError, MessageError
from metric3d_ros.messages.ranges import cloud_to_ranges, range_to_points, scan_to_points
from metric3d_ros.messages.stamps import stamp_ns
from metric3d_ros.nodes.intake.ranges.transforms import GivenTransform, TfTransform, Transform
from metric3d_ros.nodes.parameters.corrections.scale import LASER_SCAN, POINT_CLOUD, RANGE
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
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
        self._transform: Transform = TfTransform(node) if topic and parameters.scale.use_tf else GivenTransform()
        if topic:
            create_input(node, RANGE_TYPES[kind], topic, self._keep, profile=image_input(parameters.qos))

    def _keep(self, message: Any) -> None:
        with self._lock:
            self._messages.append(message)

    def at(
        self, stamp_s: float, *, frame_id: str, max_age_s: float, transform: Sequence[float]
    ) -> npt.NDArray[np.float32] | ScaleRefusal | None:
        """Return the points (N, 3), metres in the optical frame, of the message nearest in time; None without a topic.

        `frame_id` is the optical frame, `transform` is x y z, roll pitch yaw of it in the sensor's, for want of tf. A
        refusal has the reason why there are none.
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
            return self._transform.apply(points, nearest.header, frame_id=frame_id, given=transform)
        except (MessageError, DataError) as error:
            return ScaleRefusal(RANGES, str(error))
