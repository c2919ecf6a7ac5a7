"""RectifiedView: the pinhole image that a camera with a lens would have taken, and the way back to its own pixels.

Both images have the same optical centre and axis, so depth along the axis is the same number in both: a pixel of the
camera has the depth of the place in the view that lies on its ray.
"""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.camera import Camera
from metric3d_ros.errors import CameraError

Float32Array = npt.NDArray[np.float32]

# Bilinear sampling across a depth edge invents points between the two surfaces; nearest does not.
_EDGE_RATIO = 1.03
# Networks pad images to a multiple of 14 or 32; what is padded is worse.
VIEW_MULTIPLE_PX = 32
# Half the field of view that one pinhole image can have with sense: 65 degrees; beyond it a pixel at the edge is
# five times as wide as one at the centre.
_WIDEST_TANGENT = 2.145


@dataclass(frozen=True, eq=False)
class RectifiedView:
    """A camera's pinhole view and the tables that lead there and back, computed once per camera."""

    raw: Camera
    """The camera with its lens."""
    camera: Camera
    """The pinhole camera of the view."""
    cropped_share: float
    """Part of the camera's pixels with a ray that the view does not see."""
    seen: npt.NDArray[np.bool_]
    """(h, w), which pixels of the view the camera sees."""
    _to_view: tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]
    _to_raw: tuple[Float32Array, Float32Array]

    def rectify(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the view's image (h, w, 3) of the camera's image (H, W, 3).

        Outside of the camera's image its border pixels are repeated. With black there, the demo model's point error on
        rendered rooms is 0.090 (k1 = -0.3), with this 0.069, and 0.066 through a pinhole.
        """
        remapped = cv2.remap(image, *self._to_view, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(remapped, np.uint8)

    def depth_to_raw(self, depth_m: Float32Array) -> Float32Array:
        """Return depth along the axis (H, W) at the camera's pixels, of the view's (h, w); NaN outside the view.

        Bilinear on surfaces, nearest across edges and beside invalid pixels.
        """
        nearest = self._sample(depth_m, cv2.INTER_NEAREST)
        smooth = self._sample(depth_m, cv2.INTER_LINEAR)
        with np.errstate(invalid="ignore"):
            on_surface = (smooth < nearest * _EDGE_RATIO) & (nearest < smooth * _EDGE_RATIO)
        return np.where(on_surface, smooth, nearest)

    def confidence_to_raw(self, confidence: Float32Array) -> Float32Array:
        """Return the view's confidence (h, w) at the camera's pixels (H, W); 0 outside the view."""
        smooth = self._sample(confidence, cv2.INTER_LINEAR)
        # Within a pixel of the view's border there is no mean of four pixels, but a depth, and so a confidence.
        beside = np.where(np.isnan(smooth), self._sample(confidence, cv2.INTER_NEAREST), smooth)
        return np.nan_to_num(beside, nan=0.0)

    def normals_to_raw(self, normals: Float32Array) -> Float32Array:
        """Return the view's normals (h, w, 3) at the camera's pixels; the optical frame is the same. NaN outside."""
        return self._sample(normals, cv2.INTER_NEAREST)

    def _sample(self, image: Float32Array, interpolation: int) -> Float32Array:
        u, v = self._to_raw
        border = (np.nan,) * 4
        return np.asarray(
            cv2.remap(image, u, v, interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=border), np.float32
        )


@functools.lru_cache(maxsize=8)
def rectified_view(camera: Camera, *, max_crop: float = 0.05, max_pixels: float = 1.5) -> RectifiedView:
    """Return the pinhole view of a camera.

    Pixels at the centre are as fine as the camera's. The view is as small as can be with at most the part `max_crop` of
    the camera's pixels outside; if it then has more than `max_pixels` times the camera's pixels, all of it is coarser.

    Raises CameraError for a lens without rays, and for one so wide that no pinhole image shows it: split it into views.
    """
    rays = camera.rays()
    x, y = (rays[..., axis][np.isfinite(rays[..., axis])] for axis in (0, 1))
    if not x.size:
        raise CameraError("the camera's lens model gives no pixel a ray, so there is no view; correct D")
    low, high, crop = _choose_box(x, y, max_crop)
    if crop > max_crop:
        raise CameraError(
            f"a pinhole image of 130 degrees leaves out {crop:.0%} of the camera's pixels, expected at most "
            f"{max_crop:.0%}: leave `outputs_in` raw, for which the view is split into several"
        )
    extent = high - low
    scale = min(
        1.0, float(np.sqrt(max_pixels * camera.width * camera.height / (extent.prod() * camera.fx * camera.fy)))
    )
    fx, fy = camera.fx * scale, camera.fy * scale
    width, height = (
        max(1, math.ceil(side * focal / VIEW_MULTIPLE_PX - 1e-6)) * VIEW_MULTIPLE_PX
        for side, focal in zip(extent, (fx, fy), strict=True)
    )
    left, top = low - (np.array([width / fx, height / fy]) - extent) / 2
    view = Camera(width, height, fx, fy, float(-left * fx - 0.5), float(-top * fy - 0.5))
    pixels = camera.project(view.rays()).astype(np.float32)
    pixels = np.nan_to_num(pixels, nan=-10.0)
    u, v = pixels[..., 0], pixels[..., 1]
    seen = (u > -0.5) & (u < camera.width - 0.5) & (v > -0.5) & (v < camera.height - 0.5)
    to_view = cv2.convertMaps(pixels[..., 0], pixels[..., 1], cv2.CV_16SC2)
    # A pixel without a ray is far outside the view, where sampling gives NaN.
    back = np.nan_to_num(view.project(rays), nan=-1e4).astype(np.float32)
    to_raw = np.ascontiguousarray(back[..., 0]), np.ascontiguousarray(back[..., 1])
    tables = np.asarray(to_view[0], np.int16), np.asarray(to_view[1], np.uint16)
    return RectifiedView(camera, view, crop, seen, tables, to_raw)


def _choose_box(
    x: Float32Array, y: Float32Array, max_crop: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Return the low and high corner on the plane z = 1 of the least box that holds enough rays, and what it crops."""
    full_low = np.maximum([x.min(), y.min()], -_WIDEST_TANGENT).astype(np.float64)
    full_high = np.minimum([x.max(), y.max()], _WIDEST_TANGENT).astype(np.float64)
    crop = 1.0
    for share in np.linspace(0.3, 1.0, 57):
        low, high = full_low * share, full_high * share
        inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
        crop = 1 - float(inside.mean())
        if crop <= max_crop:
            break
    return low, high, crop
