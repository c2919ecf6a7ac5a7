"""The intake of one camera: subscribes to its images and camera_info, and hands on each frame that is complete."""

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from metric3d_ros.camera.calibration.files import read_calibration_file
from metric3d_ros.errors import MessageError
from metric3d_ros.messages import compressed_to_rgb, image_to_rgb
from metric3d_ros.messages.buffers import view_bytes
from metric3d_ros.messages.compressed import check_format, read_picture_size
from metric3d_ros.messages.stamps import StampClock, stamp_ns
from metric3d_ros.nodes.frame import Frame, Rgb
from metric3d_ros.nodes.health.arrivals import Arrivals
from metric3d_ros.nodes.health.frame_counts import Dropped, FrameCounts
from metric3d_ros.nodes.intake.camera_info_input import CameraInfoInput
from metric3d_ros.nodes.intake.image_silence import ImageSilence
from metric3d_ros.nodes.intake.lost_images import LostImages
from metric3d_ros.nodes.intake.oversized import LargeMessages
from metric3d_ros.nodes.intake.rectification import Rectification
from metric3d_ros.nodes.parameters.depth_node_parameters import COMPRESSED, DepthParameters
from metric3d_ros.nodes.ros.missing_messages import COMPRESSED_TYPE, IMAGE_TYPE, WantedTopic
from metric3d_ros.nodes.ros.qos import create_input, image_input
from metric3d_ros.nodes.ros.topic_names import transport_topic
from metric3d_ros.nodes.transport.large_messages import give_back_memory

_WATCH_PERIOD_S = 1.0


class CameraIntake:
    """Everything on the executor's thread from a message's arrival to a complete frame."""

    def __init__(
        self,
        node: Node,
        *,
        parameters: DepthParameters,
        counts: FrameCounts,
        hand_on: Callable[[Frame], None],
        depth_topic: str = "",
        name: str = "",
        max_pixels: Callable[[], int] | None = None,
    ) -> None:
        """Read the calibration file, if there is one; `start` subscribes.

        Args:
            counts: where images that are received, lost or dropped here are counted.
            hand_on: takes each complete frame.
            depth_topic: in full, after remapping, where depth is published; "" if it is not. Its name may promise
                rectified images.
            name: the camera's; it goes before each topic, as in "front/image". "" if there is only one camera.
            max_pixels: asked anew for each image; None takes that of `parameters`.
        """
        self._node = node
        self._max_pixels = max_pixels or (lambda: parameters.max_pixels)
        self._large_messages = LargeMessages()
        self._parameters = parameters
        self._counts = counts
        self._hand_on = hand_on
        self._depth_topic = depth_topic
        base = f"{name}/image" if name else "image"
        self._is_compressed = parameters.image_transport == COMPRESSED
        self._topic = transport_topic(node, base, COMPRESSED) if self._is_compressed else base
        self.image_topic = self._resolve(self._topic)
        """The full name of the topic that images are taken from."""
        self._base_topic = self._resolve(base)
        info_topics = {each: f"{each}/camera_info" if each else "camera_info" for each in parameters.camera_names}
        self._camera_info = CameraInfoInput(
            node,
            topic=info_topics.pop(name),
            image_topic=self.image_topic,
            of_others=[self._resolve(topic) for topic in info_topics.values()],
            parameters=parameters,
            take=self.take_camera_info,
        )
        url = parameters.camera_info_url
        # A node for one of several cameras has that camera's name as the last part of its namespace.
        called = name or str(node.get_namespace()).rpartition("/")[2]
        self._calibration = read_calibration_file(url, camera_name=called) if url else None
        self._rectification = Rectification(choice=parameters.rectified, topic=self.image_topic)
        self._lost = LostImages(self._image_publishers)
        self._clock = StampClock()
        self._silence: ImageSilence | None = None
        self._is_first = True
        self._label = base

    def start(self) -> None:
        """Subscribe to the camera."""
        if self._parameters.replaces_camera_info:
            self._log_replacement()
        else:
            self._node.get_logger().info(f"{self.image_topic} {self._rectification.describe()}")
            self._camera_info.start()
        # Last, so that a camera that waits for a subscriber of its images finds one of camera_info as well.
        subscription = self._subscribe()
        wanted = WantedTopic(
            name=self.image_topic,
            label=self._label,
            type_name=COMPRESSED_TYPE if self._is_compressed else IMAGE_TYPE,
            profile=subscription.qos_profile,
            base=self._base_topic if self._is_compressed else "",
        )
        self._silence = ImageSilence(self._node, wanted)
        # Steady, so that a simulation that stands still can be explained too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._node.create_timer(_WATCH_PERIOD_S, self._watch, clock=steady)

    def _subscribe(self) -> Subscription:
        take: Callable[[Any], None] = self.take_compressed_image if self._is_compressed else self.take_image

        def count_and_take(message: Any, info: Mapping[str, Any]) -> None:
            self._counts.lost += self._lost.add_number(info.get("publication_sequence_number"))
            take(message)

        message_type = CompressedImage if self._is_compressed else Image
        profile = image_input(self._parameters.qos)
        self._subscription = create_input(self._node, message_type, self._topic, count_and_take, profile=profile)
        return self._subscription

    def describe_inputs(self) -> str:
        """Return the topics that are waited for, in words."""
        topics = [self.image_topic]
        if not self._parameters.replaces_camera_info:
            topics.append(self._camera_info.name)
        return " and ".join(topics)

    def arrivals(self) -> Arrivals:
        """Return what is known of images that do not come, or not with all that belongs to them."""
        silence = self._silence.reason if self._silence else None
        return Arrivals(
            silence=silence.text if silence else "",
            is_mistake=silence is not None and silence.is_mistake,
            missing_camera_info=self._camera_info.missing,
            paired_by=self._camera_info.paired_by,
            loss=self._lost.explain(),
        )

    def explain_unknown_age(self, *, simulated: bool) -> str:
        """Return why the newest image has no age; "" if it has one. `simulated`: time comes from /clock."""
        return self._clock.explain(simulated=simulated)

    def take_image(self, message: Image) -> None:
        """Receive an image: called for each message of its topic."""
        self._counts.received += 1
        size_hw = int(message.height), int(message.width)
        try:
            self._large_messages.check_pixels(size_hw, max_pixels=self._max_pixels())
            self._large_messages.check_bytes(message, max_pixels=self._max_pixels())
        except MessageError as error:
            self._refuse(message, error)
            return
        self._take(message, size_hw, image_to_rgb)

    def take_compressed_image(self, message: CompressedImage) -> None:
        """Receive a compressed image: called for each message of its topic."""
        self._counts.received += 1
        try:
            self._large_messages.check_bytes(message, max_pixels=self._max_pixels())
            check_format(message)
            size_hw = read_picture_size(view_bytes(message.data, what="the compressed image"))
        except MessageError as error:
            self._refuse(message, error)
            return
        self._take(message, size_hw, compressed_to_rgb)

    def _refuse(self, message: Any, error: MessageError) -> None:
        self._lost.add_image(stamp_ns(message))
        self._counts.drop_bad(error)

    def take_camera_info(self, info: CameraInfo) -> None:
        """Receive a camera_info: called for each message of its topic."""
        self._lost.add_camera_info(stamp_ns(info))
        frame = self._camera_info.pairing.add_camera_info(info)
        if frame is not None:
            self._pass_pair(frame)

    def _take(self, message: Any, size_hw: tuple[int, int], decode: Callable[..., Rgb]) -> None:
        stamp = stamp_ns(message)
        self._lost.add_image(stamp)
        frame = Frame(
            header=message.header,
            height=size_hw[0],
            width=size_hw[1],
            message=message,
            decode=decode,
            image_topic=self.image_topic,
            has_our_stamp=self._clock.add(stamp_ns=stamp, now_ns=self._node.get_clock().now().nanoseconds),
            calibration=self._calibration,
        )
        if self._parameters.replaces_camera_info:
            self._pass(frame.complete())
            return
        complete, replaced = self._camera_info.pairing.add_image(frame)
        if replaced is not None:
            self._counts.drop(Dropped.WITHOUT_CAMERA_INFO)
        if complete is not None:
            self._pass_pair(complete)

    def _pass_pair(self, frame: Frame) -> None:
        self._camera_info.note_pair(frame)
        self._pass(frame)

    def _pass(self, frame: Frame) -> None:
        if self._is_first and frame.description is not None:
            self._is_first = False
            self._log_rectification(frame.description)
        self._hand_on(frame)

    def _log_replacement(self) -> None:
        log = self._node.get_logger()
        if self._calibration is None:
            log.warning(
                f"the camera of {self._base_topic} is described by a parameter, not by camera_info: "
                "the scale of depth is as good as that number"
            )
            return
        source = self._calibration.source
        log.info(f"the camera of {self._base_topic} is described by {source}, and camera_info is not subscribed")
        described = self._rectification.describe(of=source, has_p=bool(self._calibration.p[0]))
        log.info(f"{self.image_topic} {described}")

    def _log_rectification(self, camera_info: Any) -> None:
        """Log if it matters whether these images are rectified."""
        log = self._node.get_logger()
        difference = self._rectification.explain_difference(camera_info)
        if difference:
            log.info(f"{self.image_topic}: {difference}")
        misnamed = self._rectification.explain_depth_name(camera_info, depth_topic=self._depth_topic)
        if misnamed:
            log.warning(f"{self.image_topic}: {misnamed}")

    def _image_publishers(self) -> list[bytes]:
        publishers = self._node.get_publishers_info_by_topic(self.image_topic)
        return [bytes(each.endpoint_gid) for each in publishers]

    def _watch(self) -> None:
        """Find out once a second what does not come."""
        if not self._parameters.replaces_camera_info:
            self._camera_info.watch()
        assert self._silence is not None, "start makes it before the timer"
        self._silence.watch(received=self._counts.received)
        if self._large_messages.may_be_given_back():
            # A reader keeps the memory of the largest messages that it ever had.
            self._node.destroy_subscription(self._subscription)
            self._subscribe()
            give_back_memory()

    def _resolve(self, topic: str) -> str:
        return str(self._node.resolve_topic_name(topic))
