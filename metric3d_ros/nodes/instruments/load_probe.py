"""LoadProbe: a camera and a subscriber in one process, which count and time the outputs of a depth_node."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import sensor_msgs.msg
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from metric3d_ros.camera import Camera
from metric3d_ros.messages import array_to_image, camera_to_camera_info
from metric3d_ros.messages.stamps import age_ms
from metric3d_ros.nodes.health.diagnostics import DIAGNOSTICS_TOPIC
from metric3d_ros.nodes.outlet.message_classes import message_class
from metric3d_ros.outputs.table import OUTPUTS

_TIMING_TOPIC = "depth_node/timing"


@dataclass
class Measurement:
    """What came of the images that were sent.

    Attributes:
        sent: how many images were published.
        arrival_ms: by topic, milliseconds from each image's stamp to the arrival of what was made of it.
        stages_ms: by stage, the node's own milliseconds of each frame.
        counts: the node's last diagnostics of its camera, by key.
    """

    sent: int = 0
    arrival_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    stages_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[str, str] = field(default_factory=dict)


class LoadProbe:
    """Publishes one image over and over, each time with a stamp of its own, and listens to a depth_node's outputs."""

    def __init__(self, context: Context, *, namespace: str, topics: Sequence[str], size_hw: tuple[int, int]) -> None:
        """Subscribe to `topics` of the depth_node in `namespace` and prepare a bgr8 image of noise."""
        self._node = Node("load_probe", context=context, namespace=namespace)
        self._camera_name = f"{namespace}/depth_node: camera"
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        reliable = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
        self._images = self._node.create_publisher(Image, "image", reliable)
        self._infos = self._node.create_publisher(CameraInfo, "camera_info", reliable)
        kinds = {output.topic: message_class(output) for output in OUTPUTS if output.topic in topics}
        self._topics = topics
        for topic in topics:
            self._node.create_subscription(kinds[topic], topic, partial(self._on_output, topic), reliable)
        self._node.create_subscription(DiagnosticArray, _TIMING_TOPIC, self._on_timing, reliable)
        self._node.create_subscription(DiagnosticArray, DIAGNOSTICS_TOPIC, self._on_diagnostics, reliable)
        height, width = size_hw
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        header = self._header()
        self._image = array_to_image(pixels, "bgr8", header=header, sensor_msgs=sensor_msgs.msg)
        camera = Camera.from_hfov(width, height, hfov_deg=70.0)
        self._info = camera_to_camera_info(camera, header=header, sensor_msgs=sensor_msgs.msg)
        self.measured = Measurement()

    def connect(self, *, timeout_s: float = 60.0) -> bool:
        """Send images until all topics have answered; return whether they did. Nothing of this is measured."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self._send()
            self._spin(0.3)
            if self._is_answered() and self.measured.stages_ms:
                self._spin(1.5)  # the node's counts of these come with its next diagnostics
                return True
        return False

    def measure(self, *, rate_hz: float, seconds: float) -> Measurement:
        """Send images at a rate; return what came until a while after the last one, with the node's counts."""
        before = self.measured.counts
        self.measured = Measurement()
        self._send_steadily(rate_hz=rate_hz, seconds=seconds)
        self._spin(3.0)
        now = self.measured.counts
        changed = {key: int(value) - int(before.get(key, 0)) for key, value in now.items() if value.isdigit()}
        self.measured.counts = {key: str(value) for key, value in changed.items()}
        return self.measured

    def send_until_answered(self, *, rate_hz: float, timeout_s: float) -> float | None:
        """Send images until all topics have answered one of them; return when, on Python's monotonic clock.

        None when that takes longer than `timeout_s`.
        """
        self.measured = Measurement()
        self._send_steadily(rate_hz=rate_hz, seconds=timeout_s, until_answered=True)
        return time.monotonic() if self._is_answered() else None

    def send_unanswered(self, *, rate_hz: float, seconds: float) -> None:
        """Send images for a while and measure nothing of them; what comes is taken."""
        self._send_steadily(rate_hz=rate_hz, seconds=seconds)

    def listen(self, *, seconds: float) -> None:
        """Take what comes for a while, without sending anything."""
        self._spin(seconds)

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _send(self) -> None:
        header = self._header()
        self._info.header = self._image.header = header
        self._infos.publish(self._info)
        self._images.publish(self._image)
        self.measured.sent += 1

    def _header(self) -> Any:
        return Header(stamp=self._node.get_clock().now().to_msg(), frame_id="camera_optical_frame")

    def _send_steadily(self, *, rate_hz: float, seconds: float, until_answered: bool = False) -> None:
        started_s = time.monotonic()
        sent = 0
        while (now_s := time.monotonic()) < started_s + seconds and not (until_answered and self._is_answered()):
            self._send()
            sent += 1
            # By the clock, not by the sleep before: a camera does not slow down with its listeners.
            self._spin(max(0.0, started_s + sent / rate_hz - now_s), until_answered=until_answered)

    def _is_answered(self) -> bool:
        return all(self.measured.arrival_ms[topic] for topic in self._topics)

    def _spin(self, seconds: float, *, until_answered: bool = False) -> None:
        deadline_s = time.monotonic() + seconds
        while (left_s := deadline_s - time.monotonic()) > 0 and not (until_answered and self._is_answered()):
            self._executor.spin_once(timeout_sec=left_s)

    def _on_output(self, topic: str, message: Any) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        self.measured.arrival_ms[topic].append(age_ms(message, now_ns=now_ns))

    def _on_timing(self, array: DiagnosticArray) -> None:
        for pair in array.status[0].values:
            self.measured.stages_ms[pair.key].append(float(pair.value))

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.name == self._camera_name:
                self.measured.counts = {pair.key: pair.value for pair in status.values}
