"""What each pixel of a camera looks at: intrinsics, lens models, rays, and checks of a calibration."""

from metric3d_ros.camera.camera import Camera
from metric3d_ros.camera.checks import Finding, check_camera, check_camera_info
from metric3d_ros.camera.resizing import fit_camera
from metric3d_ros.camera.roi_and_binning import apply_roi_and_binning, described_size_hw

__all__ = [
    "Camera",
    "Finding",
    "apply_roi_and_binning",
    "check_camera",
    "check_camera_info",
    "described_size_hw",
    "fit_camera",
]
