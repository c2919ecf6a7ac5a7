"""The outlet of one camera: which outputs are wanted of a frame, and where results and snapshots go."""

from typing import Any

from rclpy.node import Node

from metric3d_ros.estimation.estimator import ALL_OUTPUTS
from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.outlet.message_classes import CLASSES
from metric3d_ros.nodes.outlet.publishers import OutputPublishers
from metric3d_ros.nodes.outlet.snapshot_service import SnapshotService
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.parameters.scan import explain_scan_frame, explain_turned_scan
from metric3d_ros.outputs.result import Result
from metric3d_ros.outputs.table import DEPTH_TOPIC, SCAN, find_output
from metric3d_ros.pictures import SteadyRange

_WARN_EVERY_S = 30.0


class CameraOutlet:
    """Everything from a result to messages and files."""

    def __init__(self, node: Node, *, parameters: DepthParameters, name: str = "") -> None:
        """Advertise the outputs and offer the service.

        Args:
            name: the camera's; it goes before each topic, as in "front/depth/image". "" if there is only one camera.
        """
        self._log = node.get_logger()
        prefix = f"{name}/" if name else ""
        self._publishers = OutputPublishers(node, parameters=parameters, prefix=prefix)
        self._snapshots = SnapshotService(node, timeout_s=parameters.snapshot.timeout_s, camera_name=name)
        self.depth_topic = str(node.resolve_topic_name(prefix + DEPTH_TOPIC)) if parameters.outputs.depth else ""
        """In full, after remapping, where depth is published; "" if it is not."""
        self.depth_range = SteadyRange()
        """Which depth the colours of depth/image_color span, from one image to the next."""

    def wanted(self) -> tuple[str, ...]:
        """Return the topics of the outputs that have subscribers, in the order in which they are to be built."""
        return self._publishers.wanted()

    @property
    def snapshot_is_wanted(self) -> bool:
        """Whether somebody waits for a snapshot."""
        return self._snapshots.is_wanted

    def needs(self, frame: Frame, parameters: DepthParameters) -> frozenset[str]:
        """Return the estimator's outputs that are needed for what is wanted of a frame; empty if no inference is."""
        if frame.for_snapshot:
            return ALL_OUTPUTS
        return frozenset[str]().union(*(find_output(topic).needs(parameters) for topic in frame.wanted))

    def check(self, result: Result) -> None:
        """Warn if an output cannot be right, whatever the network gives."""
        if SCAN in result.frame.wanted:
            scan_frame_id = result.parameters.scan.frame_id
            text = explain_scan_frame(scan_frame_id, image_frame_id=result.header.frame_id)
            if text:
                self._log.warning(text, throttle_duration_sec=_WARN_EVERY_S)
            text = explain_turned_scan(scan_frame_id, rotate_deg=result.parameters.rotate)
            if text:  # a transform may well be there, so once
                self._log.warning(text, once=True)

    def build(self, topic: str, result: Result) -> Any:
        """Return the message of an output; None if this model cannot make it. May run on several threads at once."""
        return find_output(topic).build(result, CLASSES)

    def publish(self, topic: str, message: Any) -> None:
        """Send the message of an output. May run on several threads at once, for different topics."""
        self._publishers.publish(topic, message)

    def save_snapshot(self, result: Result) -> None:
        """Write a snapshot and answer whoever waits for it."""
        self._snapshots.save(result)
