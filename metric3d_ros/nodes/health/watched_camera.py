"""What /diagnostics and ~/timing ask of a camera."""

from typing import Protocol

from metric3d_ros.codecs.sixteen_bits import SampleRange
from metric3d_ros.nodes.health.arrivals import Arrivals
from metric3d_ros.nodes.health.calibration_watch import CalibrationReport
from metric3d_ros.nodes.health.camera_progress import CameraProgress
from metric3d_ros.scale import ScaleState


class WatchedCamera(Protocol):
    """A camera whose health is judged; it may be asked on any thread."""

    name: str
    """"" if there is only one camera."""
    progress: CameraProgress
    scale: ScaleState | None
    """The correction of the newest frame's scale; None if there is none."""

    @property
    def image_topic(self) -> str:
        """The full name of the topic that images are taken from."""

    @property
    def is_wanted(self) -> bool:
        """Whether any output has a subscriber."""

    @property
    def calibration_report(self) -> CalibrationReport | None:
        """What was found about the calibration; None before the first frame."""

    @property
    def sample_range_in_use(self) -> SampleRange | None:
        """The range of the newest 16-bit image; None before the first."""

    def arrivals(self) -> Arrivals:
        """Return what is known of images that do not come."""

    def explain_unknown_age(self, *, simulated: bool) -> str:
        """Return why the newest image has no age; "" if it has one. `simulated`: time comes from /clock."""
