"""~/scale: what depth is multiplied by, and where that comes from, for each frame."""

from collections.abc import Mapping
from typing import Protocol

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from metric3d_ros.nodes.frame import Frame
from metric3d_ros.nodes.outlet.diagnostic_status import build_status, status_name
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
        status = build_status(
            status_name(self._node, f"scale {camera.name}"),
            hardware_id=camera.image_topic,
            values=scale_values(state),
            level=1 if state.stale else 0,
            message=state.refused,
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
