"""Which frames cannot be a scan's: a scan lies in x and y of its frame, and an optical frame's z points forward."""

import re

from metric3d_ros.errors import ConfigurationError

_OPTICAL = re.compile(r"(.*[_/])?optical(_frame)?", re.IGNORECASE)
_EXPECTED = "the frame at the camera's place with x forward, y left and z up (REP-103), such as camera_link"


def check_scan_frame(frame_id: str) -> None:
    """Raise ConfigurationError for a frame that is an optical one by its name (REP-103)."""
    if _OPTICAL.fullmatch(frame_id):
        raise ConfigurationError(
            f"parameter scan.frame_id is {frame_id!r}, an optical frame by its name, in which the scan would stand "
            f"upright: expected {_EXPECTED}"
        )


def explain_scan_frame(scan_frame_id: str, *, image_frame_id: str) -> str:
    """Return what is suspicious about a scan in the frame of the images it is made from; "" where it has another."""
    if scan_frame_id != image_frame_id:
        return ""
    return (
        f"parameter scan.frame_id is {scan_frame_id!r}, which is the frame of the images as well: where that is an "
        f"optical frame, as it ought to be, the scan stands upright; set {_EXPECTED}"
    )
