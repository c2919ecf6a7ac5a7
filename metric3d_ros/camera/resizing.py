"""The camera of an image whose size is not the calibrated one."""

from metric3d_ros.camera.camera import Camera
from metric3d_ros.errors import CameraError

_MOST_ROUNDING_PX = 1.0


def fit_camera(
    camera: Camera, width: int, height: int, *, scale: bool, whose: str = "the camera", remedy: str = ""
) -> Camera:
    """Return the camera of the image `width` x `height`: `camera` itself, or scaled with the image if `scale`.

    `whose` and `remedy` are as in `explain_other_size`. Raises CameraError if the sizes differ and `scale` is false,
    or no single factor leads from one to the other.
    """
    if (camera.width, camera.height) == (width, height):
        return camera
    if scale and is_resized((camera.width, camera.height), (width, height)):
        return camera.scaled(width, height)
    raise CameraError(
        explain_other_size((camera.width, camera.height), (width, height), whose=whose, remedy=remedy, scale=scale)
    )


def is_resized(from_wh: tuple[int, int], to_wh: tuple[int, int]) -> bool:
    """Whether one factor, but for rounding, leads from one (width, height) to the other."""
    (width, height), (to_width, to_height) = from_wh, to_wh
    if min(width, height, to_width, to_height) < 1:
        return False
    off = min(abs(to_width - width * to_height / height), abs(to_height - height * to_width / width))
    return off <= _MOST_ROUNDING_PX


def explain_other_size(
    from_wh: tuple[int, int],
    to_wh: tuple[int, int],
    *,
    whose: str = "the camera",
    remedy: str = "",
    scale: bool = False,
) -> str:
    """Return why the camera for (width, height) `from_wh` is not that of an image of `to_wh`, and what to do.

    Args:
        whose: the camera, in words.
        remedy: how a user asks for scaling; "" if that cannot be.
        scale: scaling was asked for.
    """
    (width, height), (to_width, to_height) = from_wh, to_wh
    sizes = f"{whose} is calibrated for {width}x{height}, but the image is {to_width}x{to_height}"
    own = "give the calibration of this image"
    if not is_resized(from_wh, to_wh):
        factors = (
            f"{to_width / max(width, 1):.4g} times the width and {to_height / max(height, 1):.4g} times the height"
        )
        unscaled = ", which cannot be scaled to it" if scale else ""
        return f"{sizes}{unscaled} ({factors}): the image was cropped or squeezed; {own}, or state a crop in its roi"
    asked = f"if the image was resized, not cropped, {remedy}; otherwise {own}" if remedy else own
    return f"{sizes}, a factor of {to_width / width:.4g}: {asked}"
