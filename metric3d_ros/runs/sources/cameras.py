"""Which camera took the images of a recording, and how sure that is."""

import dataclasses
import math
from pathlib import Path

from metric3d_ros.camera import Camera, fit_camera
from metric3d_ros.camera.calibration.files import read_calibration_file
from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.geometry import upright_camera
from metric3d_ros.recordings.exif import Exif

GIVEN, CALIBRATION, CAMERA_INFO, EXIF = "given", "calibration", "camera_info", "EXIF"
_SCALE_REMEDY = "give --scale-calibration"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraChoice:
    """What a user states about the cameras; nothing: what the recording knows.

    Attributes:
        focal_px: focal length in pixels; 0 if not given.
        hfov_deg: horizontal field of view; 0 if not given.
        calibration: a calibration file; "" if not given.
        scale: a calibration of another size is that of the whole image, resized.
    """

    focal_px: float = 0.0
    hfov_deg: float = 0.0
    calibration: str = ""
    scale: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("focal_px", "hfov_deg", "calibration") if getattr(self, name)]
        if len(given) > 1:
            raise ConfigurationError("--focal, --hfov and --calibration exclude each other: give one of them")
        if not 0 <= self.focal_px < math.inf or not 0 <= self.hfov_deg < 180:
            raise ConfigurationError(
                f"--focal is {self.focal_px:g} and --hfov {self.hfov_deg:g}, expected pixels above 0, or degrees "
                "between 0 and 180"
            )

    @property
    def is_given(self) -> bool:
        """Whether it overrules what the recording knows."""
        return bool(self.focal_px or self.hfov_deg or self.calibration)

    def camera(self, width: int, height: int, *, rectified: bool = False) -> tuple[Camera, str]:
        """Return the camera of an image of that size, and where it comes from.

        Of a calibration file a `rectified` image's camera has P and no distortion, a raw one's K and D.

        Raises:
            DataError: nothing is given.
            CameraError: the calibration is of another size.
        """
        if self.focal_px:
            return Camera.from_focal(width, height, focal_px=self.focal_px), f"{GIVEN}: --focal {self.focal_px:g}"
        if self.hfov_deg:
            return Camera.from_hfov(width, height, hfov_deg=self.hfov_deg), f"{GIVEN}: --hfov {self.hfov_deg:g}"
        if self.calibration:
            described = read_calibration_file(self.calibration).camera(rectified=rectified)
            whose = f"the camera of {self.calibration}"
            fitted = fit_camera(described, width, height, scale=self.scale, whose=whose, remedy=_SCALE_REMEDY)
            return fitted, f"{CALIBRATION}: {Path(self.calibration).name}"
        raise DataError("the focal length is unknown: give --focal PX, --hfov DEG or --calibration FILE")

    def camera_of_picture(self, width: int, height: int, exif: Exif, *, rectified: bool = False) -> tuple[Camera, str]:
        """Return the camera of an image file as it is stored, `width` x `height`, and where it comes from.

        Raises as `camera` does.
        """
        if self.is_given:
            return self.camera(width, height, rectified=rectified)
        focal_px = exif.focal_px(width, height)
        if not focal_px:
            raise DataError(
                "the focal length is unknown (no EXIF 35 mm focal length): give --focal PX, --hfov DEG or "
                "--calibration FILE"
            )
        return Camera.from_focal(width, height, focal_px=focal_px), f"{EXIF}: {exif.focal_35mm_mm:g} mm"


def upright(camera: Camera, exif: Exif) -> Camera:
    """Return the camera of a picture that EXIF's orientation has turned upright."""
    return upright_camera(camera, exif.rotate_deg) if exif.rotate_deg else camera


def explain_scale(focal_from: str) -> str:
    """Return what a source of the focal length means for the metres that come of it."""
    kind = focal_from.partition(":")[0]
    return {
        CAMERA_INFO: "depth is in metres, as good as the camera's calibration",
        CALIBRATION: "depth is in metres, as good as the calibration file",
        GIVEN: "depth is proportional to that number: an error of 10 % in it is one of 10 % in depth",
        EXIF: "depth is proportional to it; phones round it to a millimetre (about 4 %), and crops make it wrong",
    }[kind]
