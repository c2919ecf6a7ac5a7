"""Camera: the intrinsics, lens distortion and size of one image, and the rays that its pixels look along."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import CameraError

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

# Coefficients that each distortion model of sensor_msgs/distortion_models.hpp may come with.
_PLUMB_BOB_COUNTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14)}
_FISHEYE_MODELS = ("equidistant", "fisheye")
_UNDISTORTED_MODELS = ("", "none", "pinhole")

_UNCALIBRATED_REMEDY = (
    "calibrate the camera so that its driver publishes real intrinsics, or set the parameter `intrinsics` or `hfov_deg`"
)
# A field of view of 179.99 degrees; what is seen through far less than that overflows float32.
_LEAST_FOCAL_PER_SIDE = 1e-4
_MOST_PX = 1e7
# A ray whose reprojection misses its own pixel by more than this has no place on the lens model.
_MAX_REPROJECTION_PX = 0.1


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with optional lens distortion, for one image size.

    Pixel coordinates have their origin at the centre of the top left pixel, u right, v down. The optical frame is
    REP-103's: x right, y down, z forward.

    Attributes:
        width, height: the image's size in pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
        distortion_model: "" (none), "plumb_bob", "rational_polynomial" (OpenCV's polynomial model) or "equidistant"
            (OpenCV's fisheye model).
        distortion: the model's coefficients in OpenCV's order; empty when there are none.

    Raises:
        CameraError: a size below one pixel, a focal length or principal point that no camera can have, or a
            distortion model that is not known.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion_model: str = ""
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CameraError(f"camera size is {self.width}x{self.height}, expected at least 1x1 pixels")
        values = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(math.isfinite(value) for value in values):
            raise CameraError(f"camera intrinsics {values} are not all finite; {_UNCALIBRATED_REMEDY}")
        if self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f"focal length is {self.fx:g} x {self.fy:g} px, expected above 0 (0 means uncalibrated); "
                f"{_UNCALIBRATED_REMEDY}"
            )
        least = min(self.fx / self.width, self.fy / self.height)
        if least < _LEAST_FOCAL_PER_SIDE or max(self.fx, self.fy, abs(self.cx), abs(self.cy)) > _MOST_PX:
            raise CameraError(
                f"camera intrinsics (fx, fy, cx, cy) are {self.fx:g}, {self.fy:g}, {self.cx:g}, {self.cy:g} px for "
                f"{self.width}x{self.height}, which no lens has; {_UNCALIBRATED_REMEDY}"
            )
        self._check_distortion()

    def _check_distortion(self) -> None:
        if not any(self.distortion):
            object.__setattr__(self, "distortion", ())
            object.__setattr__(self, "distortion_model", "")
            return
        counts = (4,) if self.is_fisheye else _PLUMB_BOB_COUNTS.get(self.distortion_model)
        if counts is None:
            known = ", ".join([*_PLUMB_BOB_COUNTS, _FISHEYE_MODELS[0]])
            raise CameraError(
                f"distortion model '{self.distortion_model}' is not known, expected one of {known}; "
                "rectify the image first and use its rectified topic"
            )
        if len(self.distortion) not in counts:
            raise CameraError(
                f"{self.distortion_model} distortion has {len(self.distortion)} coefficients, "
                f"expected {' or '.join(map(str, counts))}; correct D in the camera_info"
            )

    @classmethod
    def from_focal(cls, width: int, height: int, *, focal_px: float) -> Camera:
        """Return an undistorted camera with square pixels and its principal point at the image's centre."""
        return cls(width, height, focal_px, focal_px, (width - 1) / 2, (height - 1) / 2)

    @classmethod
    def from_hfov(cls, width: int, height: int, *, hfov_deg: float) -> Camera:
        """Return an undistorted camera whose width spans the horizontal field of view `hfov_deg` (degrees)."""
        if not 0 < hfov_deg < 180:
            raise CameraError(f"horizontal field of view is {hfov_deg:g} degrees, expected between 0 and 180")
        return cls.from_focal(width, height, focal_px=width / 2 / math.tan(math.radians(hfov_deg) / 2))

    @classmethod
    def from_camera_info(cls, info: Any, *, rectified: bool = False) -> Camera:
        """Return the camera of the image that a sensor_msgs/CameraInfo came with.

        K, D and P describe the full-resolution calibration; the region of interest and then the binning are applied
        here (REP-104), as image_geometry applies them: c' = (c - offset) / binning, f' = f / binning.

        Args:
            info: a sensor_msgs/CameraInfo or anything with its fields.
            rectified: the image has been rectified: use P (K where P[0] is 0, which means not given), no distortion.

        Raises:
            CameraError: uncalibrated (K[0] is 0), non-finite, or a region that does not fit the calibrated size.
        """
        full_width, full_height = int(info.width), int(info.height)
        k, p = [float(v) for v in info.k], [float(v) for v in info.p]
        model, distortion = str(info.distortion_model), tuple(float(v) for v in info.d)
        fx, fy, cx, cy = k[0], k[4], k[2], k[5]
        if rectified:
            model, distortion = "", ()
            if p[0] != 0:
                fx, fy, cx, cy = p[0], p[5], p[2], p[6]
        if full_width < 1 or full_height < 1:
            raise CameraError(
                f"camera_info says the image is {full_width}x{full_height}, expected the calibrated size; "
                f"{_UNCALIBRATED_REMEDY}"
            )
        x, y = int(info.roi.x_offset), int(info.roi.y_offset)
        width = int(info.roi.width) or full_width
        height = int(info.roi.height) or full_height
        # A driver that leaves the region's size at zero means the whole image, whatever the offsets say.
        if not info.roi.width and not info.roi.height:
            x = y = 0
        if x + width > full_width or y + height > full_height:
            raise CameraError(
                f"region of interest {width}x{height} at ({x}, {y}) leaves the {full_width}x{full_height} image; "
                "correct roi in the camera_info"
            )
        bin_x, bin_y = max(int(info.binning_x), 1), max(int(info.binning_y), 1)
        return cls(
            width // bin_x,
            height // bin_y,
            fx / bin_x,
            fy / bin_y,
            (cx - x) / bin_x,
            (cy - y) / bin_y,
            model,
            distortion,
        )

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def focal_px(self) -> float:
        """The one focal length that scales depth: the mean of fx and fy, in pixels, as Metric3D's training used."""
        return (self.fx + self.fy) / 2

    @property
    def hfov_deg(self) -> float:
        """Horizontal field of view in degrees, of the undistorted pinhole model."""
        left, right = (self.cx + 0.5) / self.fx, (self.width - 0.5 - self.cx) / self.fx
        return math.degrees(math.atan(left) + math.atan(right))

    @property
    def is_fisheye(self) -> bool:
        """Whether the lens follows the equidistant (fisheye) model rather than a polynomial one."""
        return self.distortion_model in _FISHEYE_MODELS

    @property
    def matrix(self) -> Float64Array:
        """The 3 x 3 camera matrix K, in pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def scaled(self, width: int, height: int) -> Camera:
        """Return the camera of the same image resized to `width` x `height`.

        A pixel's area scales about the image's corner, so its centre moves: c' = (c + 0.5) s - 0.5.
        """
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """Return the camera of the part `width` x `height` whose top left pixel is (x, y); negative offsets pad."""
        return replace(self, width=width, height=height, cx=self.cx - x, cy=self.cy - y)

    def without_distortion(self) -> Camera:
        """Return the pinhole camera with the same intrinsics and a perfect lens."""
        return replace(self, distortion_model="", distortion=())

    def rays(self) -> Float32Array:
        """Return the direction that each pixel looks along: (H, W, 3) float32, optical frame, scaled to z = 1.

        A point is its ray times its depth. NaN where the lens model gives a pixel no ray in front of the camera.
        Computed once per camera; the array is shared and read-only.
        """
        return _rays(self)

    def ray_planes(self, *, stride: int = 1) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Return x, y and z of the rays of every `stride`-th row and column, as planes for arithmetic by axis.

        Each broadcasts to (ceil(H / stride), ceil(W / stride)); a perfect lens needs no more than a row of x, a column
        of y and a single z. NaN in all three where a pixel has no ray. Cached; the arrays are shared and read-only.
        """
        return _ray_planes(self, stride)

    def project(self, points: npt.ArrayLike) -> Float64Array:
        """Return the pixels (..., 2) float64 (u, v) where `points` (..., 3) in the optical frame appear.

        NaN for points that are not in front of the camera (z <= 0).
        """
        xyz = np.asarray(points, np.float64)
        flat = xyz.reshape(-1, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            plane = np.where(flat[:, 2:] > 0, flat[:, :2] / flat[:, 2:], np.nan)
        return self._plane_to_pixels(plane).reshape(*xyz.shape[:-1], 2)

    def _plane_to_pixels(self, plane: Float64Array) -> Float64Array:
        """Return pixels (N, 2) for coordinates (N, 2) on the plane z = 1."""
        if self.distortion:
            distort = _distort_equidistant if self.is_fisheye else _distort_polynomial
            plane = distort(plane, self.distortion)
        return plane * (self.fx, self.fy) + (self.cx, self.cy)


@lru_cache(maxsize=8)
def _ray_planes(camera: Camera, stride: int) -> tuple[Float32Array, Float32Array, Float32Array]:
    if camera.distortion:
        x, y, z = (np.ascontiguousarray(plane) for plane in np.moveaxis(_rays(camera)[::stride, ::stride], -1, 0))
    else:
        u, v = _plane_coordinates(camera)
        x, y = u[None, ::stride].astype(np.float32), v[::stride, None].astype(np.float32)
        z = np.ones((1, 1), np.float32)
    for plane in (x, y, z):
        plane.flags.writeable = False
    return x, y, z


def _plane_coordinates(camera: Camera) -> tuple[Float64Array, Float64Array]:
    """Return where columns (W,) and rows (H,) lie on the plane z = 1, as seen through a perfect lens."""
    u = (np.arange(camera.width, dtype=np.float64) - camera.cx) / camera.fx
    v = (np.arange(camera.height, dtype=np.float64) - camera.cy) / camera.fy
    return u, v


@lru_cache(maxsize=8)
def _rays(camera: Camera) -> Float32Array:
    u, v = _plane_coordinates(camera)
    rays = np.ones((camera.height, camera.width, 3), np.float32)
    if not camera.distortion:
        rays[..., 0] = u
        rays[..., 1] = v[:, None]
    else:
        distorted = np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)
        invert = _undistort_equidistant if camera.is_fisheye else _undistort_polynomial
        plane = invert(distorted, camera.distortion)
        pixels = distorted * (camera.fx, camera.fy) + (camera.cx, camera.cy)
        with np.errstate(invalid="ignore"):
            missed = np.abs(camera._plane_to_pixels(plane) - pixels).max(axis=1) > _MAX_REPROJECTION_PX
        plane[missed | ~np.isfinite(plane).all(axis=1)] = np.nan
        rays[..., :2] = plane.reshape(camera.height, camera.width, 2)
        rays[np.isnan(rays[..., 0])] = np.nan
    rays.flags.writeable = False
    return rays


def _distort_polynomial(plane: Float64Array, distortion: tuple[float, ...]) -> Float64Array:
    """Return distorted coordinates (N, 2) on the plane z = 1 by OpenCV's polynomial model.

    Coefficients in OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tx ty; the formula is that of the camera
    calibration page of OpenCV's manual. cv2.projectPoints agrees but also computes derivatives nobody needs here,
    at 40 times the cost.
    """
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tilt_x, tilt_y = (*distortion, *(0.0,) * (14 - len(distortion)))
    x, y = plane[:, 0], plane[:, 1]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        if k4 or k5 or k6:
            radial /= 1 + square * (k4 + square * (k5 + square * k6))
        cross = 2 * x * y
        distorted = np.empty_like(plane)
        distorted[:, 0] = x * radial + p1 * cross + p2 * (square + 2 * x * x) + square * (s1 + square * s2)
        distorted[:, 1] = y * radial + p2 * cross + p1 * (square + 2 * y * y) + square * (s3 + square * s4)
        if tilt_x or tilt_y:
            distorted = _tilt_sensor(distorted, tilt_x, tilt_y)
    return distorted


def _tilt_sensor(plane: Float64Array, tilt_x: float, tilt_y: float) -> Float64Array:
    """Project coordinates (N, 2) onto a sensor that is turned by `tilt_x`, then `tilt_y` (radians)."""
    sin_x, cos_x, sin_y, cos_y = math.sin(tilt_x), math.cos(tilt_x), math.sin(tilt_y), math.cos(tilt_y)
    about_x = np.array([[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
    turned = about_y @ about_x
    onto_sensor = np.array([[turned[2, 2], 0, -turned[0, 2]], [0, turned[2, 2], -turned[1, 2]], [0, 0, 1]]) @ turned
    homogeneous = plane @ onto_sensor[:, :2].T + onto_sensor[:, 2]
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:], np.float64)


# Absurd coefficients overflow, and what they give is NaN in the end.
@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _undistort_polynomial(distorted: Float64Array, distortion: tuple[float, ...]) -> Float64Array:
    """Invert OpenCV's polynomial model by Newton's method, on the pixels that have not converged yet.

    cv2.undistortPoints stops after 5 steps by default, which leaves the corners of wide lenses off by pixels, and how
    to ask it for more differs between its versions.
    """
    plane = distorted.copy()
    step = 1e-6
    right, down = step * np.eye(2)
    open_pixels = np.arange(len(distorted))
    for _ in range(25):
        guess = plane[open_pixels]
        here = _distort_polynomial(guess, distortion)
        missed = distorted[open_pixels] - here
        along_x = (_distort_polynomial(guess + right, distortion) - here) / step
        along_y = (_distort_polynomial(guess + down, distortion) - here) / step
        determinant = along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0]
        dx = (missed[:, 0] * along_y[:, 1] - missed[:, 1] * along_y[:, 0]) / determinant
        dy = (missed[:, 1] * along_x[:, 0] - missed[:, 0] * along_x[:, 1]) / determinant
        # Past the lens model's turning point the determinant changes sign: no ray there belongs to this pixel.
        change = np.where((determinant > 0)[:, None], np.stack([dx, dy], axis=1), np.nan)
        plane[open_pixels] = guess + change
        open_pixels = open_pixels[np.abs(change).max(axis=1) > 1e-7]
        if not open_pixels.size:
            break
    plane[open_pixels] = np.nan
    return plane


def _equidistant_angle(theta: Float64Array, k: tuple[float, ...]) -> Float64Array:
    """theta_d = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8), Kannala and Brandt 2006, eq. 6."""
    square = theta * theta
    return theta * (1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3]))))


def _distort_equidistant(plane: Float64Array, k: tuple[float, ...]) -> Float64Array:
    radius = np.linalg.norm(plane, axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(radius > 1e-12, _equidistant_angle(np.arctan(radius), k) / radius, 1.0)
    return plane * scale


def _undistort_equidistant(distorted: Float64Array, k: tuple[float, ...]) -> Float64Array:
    """Invert the equidistant model by Newton's method on the angle; NaN from 90 degrees off the axis outwards."""
    target = np.linalg.norm(distorted, axis=-1, keepdims=True)
    theta = np.minimum(target, math.pi / 2)
    for _ in range(20):
        square = theta * theta
        slope = 1 + square * (3 * k[0] + square * (5 * k[1] + square * (7 * k[2] + square * 9 * k[3])))
        with np.errstate(divide="ignore", invalid="ignore"):
            step = (_equidistant_angle(theta, k) - target) / slope
        theta = theta - step
        if np.nanmax(np.abs(step)) < 1e-12:
            break
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(target > 1e-12, np.tan(theta) / target, 1.0)
        return np.where((theta >= 0) & (theta < math.radians(89.9)), distorted * scale, np.nan)
