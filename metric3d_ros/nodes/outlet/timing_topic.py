"""~/timing: how long each stage of a frame took, for each frame that is published."""

from collections.abc import Mapping
from typing import Protocol

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.outlet.diagnostic_status import build_status, status_name
from metric3d_ros.nodes.ros.qos import create_output

TIMING_TOPIC = "~/timing"


class TimedCamera(Protocol):
    """The camera of a frame."""

    name: str
    """"" if there is only one camera."""

    @property
    def image_topic(self) -> str:
        """The full name of the topic that images are taken from."""

    def explain_unknown_age(self, *, simulated: bool) -> str:
        """Return why the age of its images is not known, "" if it is."""


class TimingPublisher:
    """Publishes how long each frame took, for scripts: a DiagnosticArray with the image's own header."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = create_output(node, DiagnosticArray, TIMING_TOPIC)

    def publish(self, camera: TimedCamera, frame: Frame, times_ms: Mapping[str, float]) -> None:
        """Publish milliseconds by stage, as "infer_ms", if there is a subscriber; without an age if none is known."""
        if not self._publisher.get_subscription_count():
            return
        reason = ""
        if not frame.has_our_stamp:
            why = camera.explain_unknown_age(simulated=uses_sim_time(self._node))
            reason = f"no age_ms: {why or 'the stamp was not of this clock'}"
        status = build_status(
            status_name(self._node, f"camera {camera.name}"),
            hardware_id=camera.image_topic,
            values={f"{stage}_ms": f"{time_ms:.3f}" for stage, time_ms in times_ms.items()},
            message=reason,
        )
        self._publisher.publish(DiagnosticArray(header=frame.header, status=[status]))


def uses_sim_time(node: Node) -> bool:
    """Return whether the node's clock is that of a simulation."""
    return bool(node.get_parameter("use_sim_time").value)
