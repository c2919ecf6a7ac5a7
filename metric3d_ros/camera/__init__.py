"""What a camera sees where: intrinsics, lens models, the rays of pixels, and what is doubtful about a calibration."""

from metric3d_ros.camera.record import Camera

__all__ = ["Camera"]
