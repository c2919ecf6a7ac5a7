"""What each pixel of a camera looks at: intrinsics, lens models, rays, and checks of a calibration."""

from metric3d_ros.camera.checks import Finding, check_camera, check_camera_info
from metric3d_ros.camera.pixel_rays import share_without_ray
from metric3d_ros.camera.record import Camera, described_size_hw
from metric3d_ros.camera.resizing import fit_camera

__all__ = [
    "Camera",
    "Finding",
    "check_camera",
    "check_camera_info",
    "described_size_hw",
    "fit_camera",
    "share_without_ray",
]
