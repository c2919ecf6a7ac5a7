"""The parameters `scan.*`: the laser scan for 2-D navigation, and which frames can be its frame."""

import re
from dataclasses import dataclass

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.ranges import FARTHEST_M, check_range
from metric3d_ros.outputs.options import OBSTACLES, ROWS

_OPTICAL = re.compile(r"(.*[_/])?optical(_frame)?", re.IGNORECASE)
_EXPECTED_FRAME = "the frame at the camera's place with x forward, y left and z up (REP-103), such as camera_link"


def check_scan_frame(frame_id: str) -> None:
    """Raise ConfigurationError for a frame that is an optical one by its name (REP-103).

    A scan lies in x and y of its frame, and the z axis of an optical frame points forward.
    """
    if _OPTICAL.fullmatch(frame_id):
        raise ConfigurationError(
            f"parameter scan.frame_id is {frame_id!r}, an optical frame by its name, in which the scan would stand "
            f"upright: expected {_EXPECTED_FRAME}"
        )


def explain_scan_frame(scan_frame_id: str, *, image_frame_id: str) -> str:
    """Return what is suspicious about a scan in the frame of the images; "" if it has another frame."""
    if scan_frame_id != image_frame_id:
        return ""
    return (
        f"parameter scan.frame_id is {scan_frame_id!r}, which is the frame of the images as well: if that is an "
        f"optical frame, as it should be, the scan stands upright; set {_EXPECTED_FRAME}"
    )


def explain_turned_scan(scan_frame_id: str, *, rotate_deg: int) -> str:
    """Return which frame the scan of a camera needs that is mounted turned; "" if it is not."""
    if not rotate_deg:
        return ""
    return (
        f"the scan is level, since rotate is {rotate_deg} degrees: scan.frame_id, {scan_frame_id!r}, has to be a frame "
        "at the camera's place whose z points up. The body frame of a turned camera, such as camera_link, is turned as "
        "well: if that is what it is, publish a static transform to an upright frame and set scan.frame_id to it"
    )


@dataclass(frozen=True, kw_only=True)
class ScanParameters:
    """The parameters `scan.*`."""

    frame_id: str = parameter(
        "",
        "Frame of scan: at the camera's place, x forward, y left, z up (REP-103), such as camera_link; never the "
        "optical frame.",
        check=check_scan_frame,
    )
    source: str = parameter(
        ROWS,
        "What the scan is made from: rows is a band of image rows around the horizon; obstacles is everything of "
        "points/obstacles, for a tilted camera. The scan is then level, from the camera's foot, x where it looks.",
        choices=(ROWS, OBSTACLES),
    )
    band_px: int = parameter(
        10,
        "Image rows around the camera's horizon that the scan is made from (of the upright image, with rotate).",
        unit="px",
        minimum=1,
        maximum=65536,
    )
    max_offset_m: float = parameter(
        0.0,
        "Maximum height above or below the camera's optical axis; keeps the floor out of a tall band. 0 is no limit.",
        unit="m",
        minimum=0.0,
        maximum=1000.0,
    )
    min_range_m: float = parameter(
        0.45,
        "Minimum range; nearer is -Inf (too close). A larger depth.min_m takes its place, and depth below that is NaN.",
        unit="m",
        minimum=0.0,
        maximum=FARTHEST_M,
    )
    max_range_m: float = parameter(
        10.0,
        "Maximum range; farther is +Inf (nothing within range). A smaller depth.max_m takes its place, also as the "
        "message's range_max. With scan.source obstacles a smaller points.max_m or obstacles.max_range_m does too, all "
        "along the ground, and directions that the image does not show so far are NaN.",
        unit="m",
        minimum=0.01,
        maximum=FARTHEST_M,
    )

    def __post_init__(self) -> None:
        check_range("scan.min_range_m", self.min_range_m, "scan.max_range_m", self.max_range_m)
