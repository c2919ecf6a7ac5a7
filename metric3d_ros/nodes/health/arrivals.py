"""What a camera's intake knows of images that do not come. No ROS here."""

from dataclasses import dataclass

from metric3d_ros.nodes.frame import PairedBy


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """The state of one camera's inputs."""

    silence: str = ""
    """Why no images come, and the remedy; "" while they do."""
    is_mistake: bool = False
    """What is published does not fit; False if images may only come later."""
    missing_camera_info: str = ""
    """Why the newest image has no camera_info yet; "" if it has."""
    paired_by: PairedBy | None = None
    """How the newest frame's camera_info was found; None before the first."""
    loss: str = ""
    """How many images are lost on their way, and the remedy; "" if that is not conspicuous."""
