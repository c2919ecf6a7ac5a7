"""The camera of an image whose size is not the calibrated one."""

from metric3d_ros.camera.record import Camera
from metric3d_ros.errors import CameraError

_MOST_ROUNDING_PX = 1.0


def fit_camera(camera: Camera, width: int, height: int, *, scale: bool, setting: str, whose: str) -> Camera:
    """Return the camera of the image `width` x `height`: `camera` itself, or scaled with the image if `scale`.

    Args:
        setting: how a user asks for scaling, as in "parameter camera_info_scaling is refuse, set it to scale".
        whose: what the camera was read from, as in "the camera_info".

    Raises CameraError where the sizes differ and `scale` is false, or no single factor leads from one to the other.
    """
    if (camera.width, camera.height) == (width, height):
        return camera
    factor_x, factor_y = width / camera.width, height / camera.height
    sizes = f"the image is {width}x{height}, but {whose} is for {camera.width}x{camera.height}"
    if min(abs(width - camera.width * factor_y), abs(height - camera.height * factor_x)) > _MOST_ROUNDING_PX:
        raise CameraError(
            f"{sizes}, {factor_x:.4g} times the width and {factor_y:.4g} times the height: the image was cropped or "
            f"squeezed, so that {whose} cannot be scaled to it; give the calibration of this image, or state the crop "
            "in its roi"
        )
    if not scale:
        raise CameraError(
            f"{sizes}, a factor of {factor_x:.4g}; if the image was resized (not cropped), {setting}; otherwise give "
            "the calibration of this image"
        )
    return camera.scaled(width, height)
