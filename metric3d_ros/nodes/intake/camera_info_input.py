"""The camera_info of one camera: its subscription, which message belongs to which image, and why one is missing."""

from collections.abc import Callable, Collection

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from metric3d_ros.camera import described_size_hw
from metric3d_ros.messages.stamps import NS_PER_S
from metric3d_ros.nodes.frame import Frame, PairedBy
from metric3d_ros.nodes.intake.camera_info_source import CameraInfoSource
from metric3d_ros.nodes.intake.pairing import CameraInfoPairing
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.ros.missing_messages import CAMERA_INFO_TYPE, WantedTopic, explain_silence
from metric3d_ros.nodes.ros.qos import camera_info_input, create_input, subscribe_if_latched

_EXPLAIN_EVERY_S = 5.0


class CameraInfoInput:
    """Pairs images with the camera_info of one topic, and explains images that wait for theirs."""

    def __init__(
        self,
        node: Node,
        *,
        topic: str,
        image_topic: str,
        of_others: Collection[str],
        parameters: DepthParameters,
        take: Callable[[CameraInfo], None],
    ) -> None:
        """Prepare for `start`.

        Args:
            topic: as this node calls it, such as front/camera_info.
            image_topic: in full, after remapping.
            of_others: the camera_info topics, in full, of this node's other cameras.
            take: called with each message.
        """
        self._node = node
        self._topic = topic
        self._parameters = parameters
        self._take = take
        self.name = str(node.resolve_topic_name(topic))
        """The topic in full, after remapping."""
        self._source = CameraInfoSource(node, image_topic=image_topic, camera_info_topic=self.name, of_others=of_others)
        self.pairing = CameraInfoPairing(
            tolerance_ns=round(parameters.camera_info_tolerance_s * NS_PER_S),
            doubt=self._source.explain_doubt,
            any_size=parameters.scales_camera_info,
        )
        self.paired_by: PairedBy | None = None
        """How the newest complete frame's camera_info was found."""
        self.missing = ""
        """Why the newest image has no camera_info yet; "" if it has, or has come a moment ago."""
        self._profile = camera_info_input(parameters.qos)
        self._logged = {PairedBy.STAMP}  # which needs no line
        self._takes_latched = False
        self._paired_lately = False
        self._was_waiting = False

    def start(self) -> None:
        """Subscribe."""
        subscription = create_input(self._node, CameraInfo, self._topic, self._take, profile=self._profile)
        self._profile = subscription.qos_profile

    def note_pair(self, frame: Frame) -> None:
        """Take note of a complete frame, and log once how its camera_info was found, unless by stamp and frame_id."""
        self._paired_lately = True
        self.missing = ""
        self.paired_by = frame.paired_by
        if frame.paired_by is not None and frame.paired_by not in self._logged:
            self._logged.add(frame.paired_by)
            self._log_how(frame)

    def watch(self) -> None:
        """Subscribe to latched camera_info, and explain images that wait; call it once a second."""
        if not self._takes_latched:
            self._takes_latched = subscribe_if_latched(self._node, CameraInfo, self._topic, self._take)
        waiting = self.pairing.is_waiting and not self._paired_lately
        self._paired_lately = False
        # An image may have come a moment ago: only one that was there last time as well has waited for long.
        if waiting and self._was_waiting:
            self.missing = self._explain_waiting()
            self._node.get_logger().warning(self.missing, throttle_duration_sec=_EXPLAIN_EVERY_S)
        elif not waiting:
            self.missing = ""
        self._was_waiting = waiting

    def _explain_waiting(self) -> str:
        reason = self.pairing.explain_waiting(topic=self.name)
        if self.pairing.seen_camera_info:
            return reason
        wanted = WantedTopic(name=self.name, label=self._topic, type_name=CAMERA_INFO_TYPE, profile=self._profile)
        return f"{reason}: {explain_silence(self._node, wanted).text}"

    def _log_how(self, frame: Frame) -> None:
        log, by = self._node.get_logger(), frame.paired_by
        image_frame, info_frame = frame.header.frame_id, frame.camera_info.header.frame_id
        if by is PairedBy.STAMP_ALONE:
            text = (
                f"camera_info on {self.name} has the images' stamps, but frame_id '{info_frame}' and not "
                f"'{image_frame}': paired by stamp"
            )
            doubt = self._source.explain_doubt()
            if doubt:  # cameras that are triggered together have stamps in common
                log.warning(f"{text}. It may be another camera's, because {doubt}: remap camera_info if it is")
            else:
                log.info(text)
        elif by is PairedBy.NEAREST_STAMP:
            log.info(
                f"no camera_info on {self.name} has the image's stamp: using the nearest within "
                f"camera_info_tolerance_s ({self._parameters.camera_info_tolerance_s:g} s)"
            )
        elif by is PairedBy.LAST:
            log.info(
                f"no camera_info on {self.name} has the image's stamp: using the last one of the same frame_id and size"
            )
        elif not (image_frame or info_frame):
            log.info(
                f"images and camera_info on {self.name} have no frame_id and other stamps: using camera_info of the "
                "images' size, since it has no other publisher"
            )
        else:
            same_size = described_size_hw(frame.camera_info) == (frame.height, frame.width)
            log.warning(
                f"camera_info on {self.name} is of frame_id '{info_frame}', the images of '{image_frame}': used all "
                f"the same, since it has {'their size and ' * same_size}no other publisher; let its driver set the "
                "images' frame_id"
            )
