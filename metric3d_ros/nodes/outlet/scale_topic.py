"""~/scale: what depth is multiplied by, and where that comes from, for each frame."""

from collections.abc import Mapping
from typing import Protocol

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.ros.qos import create_output
from metric3d_ros.scale import ScaleState

SCALE_TOPIC = "~/scale"


class ScaledCamera(Protocol):
    """The camera of a frame."""

    name: str
    """"" if there is only one camera."""

    @property
    def image_topic(self) -> str:
        """The full name of the topic that images are taken from."""


class ScalePublisher:
    """Publishes one DiagnosticStatus for each frame whose scale is corrected, with the image's own header."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = create_output(node, DiagnosticArray, SCALE_TOPIC)

    def publish(self, camera: ScaledCamera, frame: Frame, state: ScaleState) -> None:
        """Publish the state of a frame's scale, if there is a subscriber."""
        if not self._publisher.get_subscription_count():
            return
        name = f"{self._node.get_fully_qualified_name()}: scale {camera.name}".lstrip("/").rstrip()
        status = DiagnosticStatus(
            level=bytes([1 if state.stale else 0]),
            name=name,
            message=state.refused,
            hardware_id=camera.image_topic,
            values=[KeyValue(key=key, value=value) for key, value in scale_values(state).items()],
        )
        self._publisher.publish(DiagnosticArray(header=frame.header, status=[status]))


def scale_values(state: ScaleState) -> Mapping[str, str]:
    """Return a state by name, as text."""
    return {
        "factor": f"{state.factor:.5g}",
        "source": state.source,
        "spread": f"{state.spread:.3g}",
        "age [s]": f"{state.age_s:.3g}",
        "focal length ratio": f"{state.focal_ratio:.3g}",
        "frozen": str(state.frozen).lower(),
        "stale": str(state.stale).lower(),
        "refused": state.refused,
    }
