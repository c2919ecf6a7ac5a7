"""Collector: a node that collects everything depth_node publishes for one image, by stamp."""

import metric3d_ros.nodes.ros.require_ros  # noqa: F401, ends with one line without ROS 2

# isort: split
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier, try_shutdown
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric3d_ros.camera import Camera
from metric3d_ros.errors import MessageError
from metric3d_ros.messages import Cloud, cloud_to_points, image_to_array, image_to_depth
from metric3d_ros.messages.stamps import age_ms, stamp_ns
from metric3d_ros.nodes.transport.large_messages import prepare_for_large_messages

IMAGE = "image"
DEPTH = "depth/image"
DEPTH_CAMERA_INFO = "depth/camera_info"
NORMALS = "normals/image"
CONFIDENCE = "confidence/image"
POINTS = "points"

COLLECTED = "collected"
"""Published when a frame is complete: an empty Image with its stamp, for image_player to keep in step with."""

TOPICS: dict[str, Any] = {
    DEPTH: Image,
    DEPTH_CAMERA_INFO: CameraInfo,
    NORMALS: Image,
    CONFIDENCE: Image,
    POINTS: PointCloud2,
}
OPTIONAL = frozenset({CONFIDENCE})
"""What not every model gives (if it has no normals, they are computed from depth)."""

_GRACE_S = 1.0


@dataclass(frozen=True)
class CollectedFrame:
    """One image and what came of it.

    Attributes:
        stamp_ns: the image's stamp, nanoseconds.
        rgb: uint8 (H, W, 3), the image's pixels, as the points carry them.
        camera: from depth/camera_info.
        depth_m: float32 (H, W), metres along the optical axis, NaN where invalid.
        normals: float32 (H, W, 3), optical frame, NaN where invalid.
        confidence: float32 (H, W); None if the model gives none.
        cloud: points in metres, organised as they were published.
        latency_ms: by topic, from the image's stamp to the arrival here, on this machine's clock.
    """

    stamp_ns: int
    rgb: npt.NDArray[np.uint8]
    camera: Camera
    depth_m: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32] | None
    cloud: Cloud
    latency_ms: dict[str, float]


@dataclass
class _Pending:
    messages: dict[str, Any] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    changed_s: float = 0.0


class Collector:
    """Subscribes to all outputs of the depth_node in its own node's namespace.

    `on_frame` is called with each CollectedFrame, in the executor's thread, once everything with its stamp has come,
    or everything but the optional outputs and then nothing for a second. `COLLECTED` is published just before, so a
    player in step with it sends one image while `on_frame` works on the last, and nothing is ever dropped for a slow
    `on_frame`. Frames that stay incomplete are given up after that second. Messages that contradict themselves raise
    MessageError out of the executor: here they would be this package's own fault.
    """

    def __init__(self, node: Node, *, on_frame: Callable[[CollectedFrame], None]) -> None:
        self._node = node
        self._on_frame = on_frame
        self._pending: dict[int, _Pending] = {}
        self._expected = set(TOPICS)
        self.missing: list[set[str]] = []
        """For each frame that was given up, the topics that never came."""
        reliable = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        for topic, kind in TOPICS.items():
            node.create_subscription(kind, topic, partial(self._take, topic), reliable)
        self._collected = node.create_publisher(Image, COLLECTED, reliable)
        node.create_timer(_GRACE_S / 4, self._settle_late_frames)

    def is_connected(self) -> bool:
        """Whether a depth_node is there, wants images, and offers every output."""
        resolve, node = self._node.resolve_topic_name, self._node
        offered = all(node.count_publishers(resolve(topic)) for topic in TOPICS)
        return offered and node.count_subscribers(resolve(IMAGE)) > 0

    def _take(self, topic: str, message: Any) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        stamp = stamp_ns(message)
        frame = self._pending.setdefault(stamp, _Pending())
        frame.messages[topic] = message
        frame.latency_ms[topic] = age_ms(message, now_ns=now_ns)
        frame.changed_s = time.monotonic()
        if self._expected <= frame.messages.keys():
            self._finish(stamp)

    def _settle_late_frames(self) -> None:
        """Finish or give up the frames of which nothing has come for a while."""
        now_s = time.monotonic()
        late = [stamp for stamp, frame in self._pending.items() if now_s - frame.changed_s > _GRACE_S]
        for stamp in late:
            missing = self._expected - self._pending[stamp].messages.keys()
            if missing <= OPTIONAL:
                self._expected -= missing  # this model does not give them; do not wait a second time
                self._finish(stamp)
            else:
                self.missing.append(missing)
                self._announce(self._pending.pop(stamp))

    def _announce(self, frame: _Pending) -> None:
        self._collected.publish(Image(header=next(iter(frame.messages.values())).header))

    def _finish(self, stamp: int) -> None:
        frame = self._pending.pop(stamp)
        self._announce(frame)
        got = frame.messages
        cloud = cloud_to_points(got[POINTS])
        if cloud.rgb is None:
            raise MessageError(f"the cloud on {POINTS} has no colours; expected depth_node's own, with rgb")
        self._on_frame(
            CollectedFrame(
                stamp_ns=stamp,
                rgb=cloud.rgb,
                camera=Camera.from_camera_info(got[DEPTH_CAMERA_INFO]),
                depth_m=image_to_depth(got[DEPTH]),
                normals=image_to_array(got[NORMALS]).array,
                confidence=image_to_array(got[CONFIDENCE]).array if CONFIDENCE in got else None,
                cloud=cloud,
                latency_ms=frame.latency_ms,
            )
        )


class CollectorSession:
    """ROS in a process that is no node otherwise: a context in which a Collector spins when it is told to."""

    def __init__(self, namespace: str, *, on_frame: Callable[[CollectedFrame], None]) -> None:
        self._namespace = namespace
        self._on_frame = on_frame

    def __enter__(self) -> "CollectorSession":
        prepare_for_large_messages(rmw_implementation=get_rmw_implementation_identifier())
        # Signals stay with the program around this: rclpy's handlers would end the context under its feet.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("collector", namespace=self._namespace)
        self.collector = Collector(self._node, on_frame=self._on_frame)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        try_shutdown()

    def spin_once(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for one message and handle it."""
        self._executor.spin_once(timeout_sec=timeout_s)
