"""One camera of depth_node: its subscriptions, its publishers, and the pairing of its images with camera_info."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from metric3d_ros.camera import Camera, fit_camera
from metric3d_ros.camera.calibration.files import Calibration, read_calibration_file
from metric3d_ros.errors import MessageError
from metric3d_ros.messages.sixteen_bits import SteadySampleRange
from metric3d_ros.nodes.health.calibration_watch import CalibrationWatch
from metric3d_ros.nodes.health.frame_counts import FrameCounts
from metric3d_ros.nodes.health.frame_times import DECODE, ESTIMATE_STAGES, OUTPUTS, TOTAL, FrameTimes
from metric3d_ros.nodes.health.late_images import LateImages
from metric3d_ros.nodes.health.loss_watch import LossWatch
from metric3d_ros.nodes.health.missing_depth import MissingDepth
from metric3d_ros.nodes.health.stamp_clock import StampClock
from metric3d_ros.nodes.intake.camera_images import CameraImage, from_compressed, from_image
from metric3d_ros.nodes.intake.camera_info_input import CameraInfoInput
from metric3d_ros.nodes.intake.pairing import SCALING_REMEDY, Pair, stamp_ns
from metric3d_ros.nodes.intake.rectification import Rectification
from metric3d_ros.nodes.intake.sequence_watch import SequenceWatch
from metric3d_ros.nodes.outlet.outputs import DEPTH_TOPIC
from metric3d_ros.nodes.outlet.publishers import OutputPublishers, transport_topic
from metric3d_ros.nodes.outlet.snapshots import SnapshotService
from metric3d_ros.nodes.parameters.depth import COMPRESSED, DepthParameters
from metric3d_ros.nodes.ros.qos import create_input, image_input
from metric3d_ros.nodes.ros.topic_publishers import (
    COMPRESSED_TYPE,
    IMAGE_TYPE,
    Silence,
    WantedTopic,
    explain_silence,
)
from metric3d_ros.pictures import SteadyRange

_WATCH_PERIOD_S = 1.0
_SILENT_S = 3


@dataclasses.dataclass(frozen=True)
class Frame:
    """An image that can be worked on, and its CameraInfo message, None where parameters describe the camera."""

    image: CameraImage
    camera_info: Any
    image_topic: str = ""
    """In full, after remapping: its name may say that the images are rectified."""
    has_our_stamp: bool = True
    """The stamp is of this node's clock, so that the image has an age."""
    complete_s: float = dataclasses.field(default_factory=time.monotonic)
    """When both were there, on Python's monotonic clock."""
    calibration: Calibration | None = None
    """What a file says of the camera, where that stands for camera_info."""

    @property
    def description(self) -> Any:
        """What describes the camera, in the fields of CameraInfo; None where a few numbers do."""
        return self.calibration if self.camera_info is None else self.camera_info

    def is_rectified(self, parameters: DepthParameters) -> bool:
        """Whether P describes the image, and not K and D."""
        return Rectification(choice=parameters.rectified, topic=self.image_topic).is_rectified

    def camera(self, parameters: DepthParameters) -> Camera:
        """Return the image's camera; CameraError where its description cannot be used."""
        width, height = self.image.width, self.image.height
        if self.description is not None:
            described = Camera.from_camera_info(self.description, rectified=self.is_rectified(parameters))
            whose = "the camera" if self.calibration is None else f"the camera of {self.calibration.source}"
            return fit_camera(
                described, width, height, scale=parameters.scales_camera_info, whose=whose, remedy=SCALING_REMEDY
            )
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
        self.image_topic, self._depth_topic = f"{prefix}image", f"{prefix}{DEPTH_TOPIC}"
        self._compressed = parameters.image_transport == COMPRESSED
        self._image_input = (
            transport_topic(node, self.image_topic, COMPRESSED) if self._compressed else self.image_topic
        )
        self.resolved_image_topic = str(node.resolve_topic_name(self._image_input))
        """The full name of the topic that images are taken from."""
        self._rectification = Rectification(choice=parameters.rectified, topic=self.resolved_image_topic)
        info_topics = {each: f"{each}/camera_info" if each else "camera_info" for each in parameters.camera_names}
        self.camera_info = CameraInfoInput(
            node,
            topic=info_topics.pop(name),
            image_topic=self.resolved_image_topic,
            of_others=[str(node.resolve_topic_name(topic)) for topic in info_topics.values()],
            parameters=parameters,
            take=self.take_camera_info,
        )
        url = parameters.camera_info_url
        # A node for one of several cameras has that camera's name as the last part of its namespace.
        called = name or str(node.get_namespace()).rpartition("/")[2]
        self._calibration = read_calibration_file(url, camera_name=called) if url else None
        self.publishers = OutputPublishers(node, parameters=parameters, prefix=prefix)
        self.snapshots = SnapshotService(node, timeout_s=parameters.snapshot.timeout_s, camera_name=name)
        self.counts = FrameCounts()
        self.times = FrameTimes()
        self.late = LateImages()
        self.stamps = StampClock()
        self.missing_depth = MissingDepth()
        """Of the image that was published last."""
        self.silence: Silence | None = None
        """Why no images come; None while they do."""
        self._said_silence = ""
        self._received_before = 0
        self._seconds_silent = 0
        self._frame_is_first = True
        self._has_our_stamp = True
        """The newest image's, which is the only one that may wait for its camera_info."""
        self.loss = LossWatch()
        self.calibration = CalibrationWatch(warn=self._warn_of_calibration)
        self._sequence = SequenceWatch(self._image_publishers)
        self.depth_range = SteadyRange()
        self.sample_range = SteadySampleRange()
        self.busy = False
        """A frame is being worked on."""
        self.busy_since_s = 0.0
        """Since when, or since the frame before came out, on Python's monotonic clock."""
        self.image_hw: tuple[int, int] | None = None
        """Height and width of the image that the network last saw."""
        self.inference_size_hw: tuple[int, int] | None = None
        """Height and width at which it did; None where it has seen nothing yet."""

    def start(self) -> None:
        """Subscribe to the camera."""
        log = self._node.get_logger()
        if self._calibration is not None:
            log.info(
                f"the camera of {self._resolved(self.image_topic)} is described by {self._calibration.source}, and "
                "camera_info is not subscribed"
            )
            described = self._rectification.describe(of=self._calibration.source, has_p=bool(self._calibration.p[0]))
            log.info(f"{self.resolved_image_topic} {described}")
        elif self._parameters.replaces_camera_info:
            log.warning(
                f"the camera of {self._resolved(self.image_topic)} is described by a parameter, not by camera_info: "
                "the scale of depth is as good as that number"
            )
        else:
            log.info(f"{self.resolved_image_topic} {self._rectification.describe()}")
            self.camera_info.start()
        # Last, so that a camera that waits for a subscriber of its images finds one of camera_info as well.
        message_type, take = (
            (CompressedImage, self.take_compressed_image) if self._compressed else (Image, self.take_image)
        )

        def count_and_take(message: Any, info: Mapping[str, Any]) -> None:
            self.counts.lost += self._sequence.add(info.get("publication_sequence_number"))
            take(message)

        subscription = create_input(
            self._node, message_type, self._image_input, count_and_take, profile=image_input(self._parameters.qos)
        )
        self._wanted = WantedTopic(
            name=self.resolved_image_topic,
            label=self.image_topic,
            type_name=COMPRESSED_TYPE if self._compressed else IMAGE_TYPE,
            profile=subscription.qos_profile,
            base=self._resolved(self.image_topic) if self._compressed else "",
        )
        # Steady, so that a simulation that stands still can be explained too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._node.create_timer(_WATCH_PERIOD_S, self._watch, clock=steady)

    def describe_inputs(self) -> str:
        """Return the topics that are waited for, in words."""
        topics = [self._image_input]
        if not self._parameters.replaces_camera_info:
            topics.append(self.camera_info.name)
        return " and ".join(self._resolved(topic) for topic in topics)

    def finish(self, frame: Frame, times_ms: dict[str, float]) -> None:
        """Count a frame whose outputs went out; `times_ms` are milliseconds by stage."""
        self.counts.published += 1
        self.times.add(times_ms)
        self.late.add(
            total_ms=times_ms[TOTAL],
            estimate_ms=sum(times_ms.get(stage, 0.0) for stage in ESTIMATE_STAGES),
            other_ms=times_ms[DECODE] + times_ms[OUTPUTS],
        )

    def _image_publishers(self) -> list[bytes]:
        publishers = self._node.get_publishers_info_by_topic(self.resolved_image_topic)
        return [bytes(each.endpoint_gid) for each in publishers]

    def drop(self, error: Exception) -> None:
        """Count a frame that cannot be worked on, and say so now and then."""
        if self.counts.add_bad(error):
            reason = " ".join(str(error).split())
            self._node.get_logger().warning(f"{self.resolved_image_topic}: frame dropped: {reason}")

    def _warn_of_calibration(self, text: str) -> None:
        self._node.get_logger().warning(f"{self.resolved_image_topic}: the calibration is doubtful: {text}")

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
        stamp = stamp_ns(image)
        self.loss.add_image(stamp)
        self._has_our_stamp = self.stamps.add(stamp_ns=stamp, now_ns=self._node.get_clock().now().nanoseconds)
        if self._parameters.replaces_camera_info:
            self._hand_on(image, None)
            return
        pair, replaced = self.camera_info.pairing.add_image(image)
        if replaced is not None:
            self.counts.without_camera_info += 1
        if pair is not None:
            self._hand_on_pair(pair)

    def take_camera_info(self, info: CameraInfo) -> None:
        """Receive a camera_info: called for each message of its topic."""
        self.loss.add_camera_info(stamp_ns(info))
        pair = self.camera_info.pairing.add_camera_info(info)
        if pair is not None:
            self._hand_on_pair(pair)

    def _hand_on_pair(self, pair: Pair) -> None:
        self.camera_info.note_pair(pair)
        self._hand_on(pair.image, pair.camera_info)

    def _say_whether_rectification_matters(self, camera_info: Any) -> None:
        depth_topic = self._resolved(self._depth_topic) if self._parameters.outputs.depth else ""
        difference = self._rectification.explain_difference(camera_info)
        if difference:
            self._node.get_logger().info(f"{self.resolved_image_topic}: {difference}")
        misnamed = self._rectification.explain_depth_name(camera_info, depth_topic=depth_topic)
        if misnamed:
            self._node.get_logger().warning(f"{self.resolved_image_topic}: {misnamed}")

    def _hand_on(self, image: CameraImage, camera_info: Any) -> None:
        frame = Frame(
            image,
            camera_info,
            image_topic=self.resolved_image_topic,
            has_our_stamp=self._has_our_stamp,
            calibration=self._calibration,
        )
        if self._frame_is_first and frame.description is not None:
            self._frame_is_first = False
            self._say_whether_rectification_matters(frame.description)
        if self._offer(self, frame) is not None:
            self.counts.replaced += 1

    def _watch(self) -> None:
        """See once a second to what does not come."""
        if not self._parameters.replaces_camera_info:
            self.camera_info.watch()
        silent = self.counts.received == self._received_before
        self._received_before = self.counts.received
        self._seconds_silent = self._seconds_silent + 1 if silent else 0
        self.silence = explain_silence(self._node, self._wanted) if silent else None
        # Publishers and this node may have found each other only halfway.
        if self.silence is not None and self._seconds_silent >= _SILENT_S:
            self._say_once(self.silence)

    def _say_once(self, silence: Silence) -> None:
        if silence.text == self._said_silence:
            return
        self._said_silence = silence.text
        text = f"no images come: {silence.text}"
        if silence.is_mistake:
            self._node.get_logger().warning(text)
        elif not self.counts.received:  # else the camera is slow, or has ended
            self._node.get_logger().info(text)

    def _resolved(self, topic: str) -> str:
        return str(self._node.resolve_topic_name(topic))
