"""One camera of depth_node: its subscriptions, its publishers, and the pairing of its images with camera_info."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from metric3d_ros.camera import Camera
from metric3d_ros.errors import MessageError
from metric3d_ros.messages.sixteen_bits import SteadySampleRange
from metric3d_ros.nodes.camera_images import CameraImage, from_compressed, from_image
from metric3d_ros.nodes.frame_counts import FrameCounts
from metric3d_ros.nodes.frame_times import FrameTimes
from metric3d_ros.nodes.loss_watch import LossWatch
from metric3d_ros.nodes.pairing import CameraInfoPairing, Pair, stamp_ns
from metric3d_ros.nodes.parameters import COMPRESSED, DepthParameters
from metric3d_ros.nodes.publishers import OutputPublishers, transport_topic
from metric3d_ros.nodes.qos import camera_info_input, create_input, image_input, subscribe_if_latched
from metric3d_ros.nodes.sequence_watch import SequenceWatch
from metric3d_ros.nodes.snapshots import SnapshotService
from metric3d_ros.pictures import SteadyRange

_WATCH_PERIOD_S = 1.0
_EXPLAIN_EVERY_S = 5.0


@dataclasses.dataclass(frozen=True)
class Frame:
    """An image that can be worked on, and its CameraInfo message, None where parameters describe the camera."""

    image: CameraImage
    camera_info: Any
    complete_s: float = dataclasses.field(default_factory=time.monotonic)
    """When both were there, on Python's monotonic clock."""

    def camera(self, parameters: DepthParameters) -> Camera:
        """Return the image's camera; CameraError where its description cannot be used."""
        if self.camera_info is not None:
            return Camera.from_camera_info(self.camera_info, rectified=parameters.rectified)
        width, height = self.image.width, self.image.height
        if parameters.hfov_deg:
            return Camera.from_hfov(width, height, hfov_deg=parameters.hfov_deg)
        fx, fy, cx, cy = parameters.intrinsics
        return Camera(width, height, fx, fy, cx, cy)


class CameraStream:
    """Receives one camera's images and hands the newest one on, with its camera_info."""

    def __init__(
        self,
        node: Node,
        *,
        parameters: DepthParameters,
        offer: Callable[["CameraStream", Frame], Frame | None],
        name: str = "",
    ) -> None:
        """Advertise the outputs; `start` subscribes.

        Args:
            offer: takes a frame and returns the older one that it replaced, if any.
            name: the camera's; it goes before each topic, as in "front/image". "" where there is only one camera.
        """
        self._node = node
        self.name = name
        prefix = f"{name}/" if name else ""
        self._offer = offer
        self._parameters = parameters
        self._pairing = CameraInfoPairing()
        self._fallback_was_said = False
        self._paired_lately = False
        self._was_waiting = False
        self.image_topic, self.camera_info_topic = prefix + "image", prefix + "camera_info"
        self._compressed = parameters.image_transport == COMPRESSED
        self._image_input = (
            transport_topic(node, self.image_topic, COMPRESSED) if self._compressed else self.image_topic
        )
        self._takes_latched_info = False
        self.publishers = OutputPublishers(node, parameters=parameters, prefix=prefix)
        self.snapshots = SnapshotService(node, timeout_s=parameters.snapshot.timeout_s, camera_name=name)
        self.counts = FrameCounts()
        self.times = FrameTimes()
        self.loss = LossWatch()
        self._sequence = SequenceWatch(self._image_publishers)
        self.depth_range = SteadyRange()
        self.sample_range = SteadySampleRange()
        self.busy = False
        """A frame is being worked on."""
        self.inference_size_hw: tuple[int, int] | None = None
        """Height and width that the network last saw; None where it has seen nothing yet."""

    def start(self) -> None:
        """Subscribe to the camera."""
        if self._parameters.replaces_camera_info:
            self._node.get_logger().warning(
                f"the camera of {self._resolved(self.image_topic)} is described by a parameter, not by camera_info: "
                "the scale of depth is as good as that number"
            )
        else:
            topic = self.camera_info_topic
            create_input(
                self._node, CameraInfo, topic, self.take_camera_info, profile=camera_info_input(self._parameters.qos)
            )
            # Steady, so that a simulation that stands still can be explained too.
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._node.create_timer(_WATCH_PERIOD_S, self._watch_camera_info, clock=steady)
        # Last, so that a camera that waits for a subscriber of its images finds one of camera_info as well.
        profile = image_input(self._parameters.qos)
        message_type, take = (
            (CompressedImage, self.take_compressed_image) if self._compressed else (Image, self.take_image)
        )

        def count_and_take(message: Any, info: Mapping[str, Any]) -> None:
            self.counts.lost += self._sequence.add(info.get("publication_sequence_number"))
            take(message)

        create_input(self._node, message_type, self._image_input, count_and_take, profile=profile)

    def describe_inputs(self) -> str:
        """Return the topics that are waited for, in words."""
        topics = [self._image_input]
        if not self._parameters.replaces_camera_info:
            topics.append(self.camera_info_topic)
        return " and ".join(self._resolved(topic) for topic in topics)

    def finish(self, frame: Frame, times_ms: dict[str, float]) -> None:
        """Count a frame whose outputs went out; `times_ms` are milliseconds by stage."""
        self.counts.published += 1
        self.times.add(times_ms)

    def _image_publishers(self) -> list[bytes]:
        publishers = self._node.get_publishers_info_by_topic(self.resolved_image_topic)
        return [bytes(each.endpoint_gid) for each in publishers]

    @property
    def resolved_image_topic(self) -> str:
        """The full name of the topic that images are taken from."""
        return self._resolved(self._image_input)

    @property
    def missing_camera_info(self) -> str:
        """Why the newest image has no camera_info yet; "" where it has, or has come a moment ago."""
        return self._pairing.explain_waiting() if self._was_waiting and self._pairing.is_waiting else ""

    def drop(self, error: Exception) -> None:
        """Count a frame that cannot be worked on, and say so now and then."""
        if self.counts.add_bad(error):
            reason = " ".join(str(error).split())
            self._node.get_logger().warning(f"{self.resolved_image_topic}: frame dropped: {reason}")

    def take_image(self, message: Image) -> None:
        """Receive an image: called for each message of its topic."""
        self.counts.received += 1
        self._on_image(from_image(message))

    def take_compressed_image(self, message: CompressedImage) -> None:
        """Receive a compressed image: called for each message of its topic."""
        self.counts.received += 1
        try:
            image = from_compressed(message)
        except MessageError as error:
            self.drop(error)
            return
        self._on_image(image)

    def _on_image(self, image: CameraImage) -> None:
        self.loss.add_image(stamp_ns(image))
        if self._parameters.replaces_camera_info:
            self._hand_on(Frame(image, None))
            return
        pair, replaced = self._pairing.add_image(image)
        if replaced is not None:
            self.counts.without_camera_info += 1
        if pair is not None:
            self._hand_on_pair(pair)

    def take_camera_info(self, info: CameraInfo) -> None:
        """Receive a camera_info: called for each message of its topic."""
        self.loss.add_camera_info(stamp_ns(info))
        pair = self._pairing.add_camera_info(info)
        if pair is not None:
            self._hand_on_pair(pair)

    def _hand_on_pair(self, pair: Pair) -> None:
        self._paired_lately = True
        if not pair.by_stamp and not self._fallback_was_said:
            self._fallback_was_said = True
            self._node.get_logger().info(
                f"no camera_info on {self._resolved(self.camera_info_topic)} has the image's stamp: "
                "using the last one of the same frame_id and size"
            )
        self._hand_on(Frame(pair.image, pair.camera_info))

    def _hand_on(self, frame: Frame) -> None:
        if self._offer(self, frame) is not None:
            self.counts.replaced += 1

    def _watch_camera_info(self) -> None:
        if not self._takes_latched_info:
            topic = self.camera_info_topic
            self._takes_latched_info = subscribe_if_latched(self._node, CameraInfo, topic, self.take_camera_info)
        self._explain_waiting()

    def _explain_waiting(self) -> None:
        waiting = self._pairing.is_waiting and not self._paired_lately
        self._paired_lately = False
        # An image may have come a moment ago: only one that was there last time as well has waited for long.
        if waiting and self._was_waiting:
            reason = self._pairing.explain_waiting()
            self._node.get_logger().warning(reason, throttle_duration_sec=_EXPLAIN_EVERY_S)
        self._was_waiting = waiting

    def _resolved(self, topic: str) -> str:
        return str(self._node.resolve_topic_name(topic))
