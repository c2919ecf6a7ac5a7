"""Camera: the intrinsics, lens distortion and size of one image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera.lenses.equidistant import EquidistantLens
from metric3d_ros.camera.lenses.lens import Lens, lens_of
from metric3d_ros.camera.lenses.names import EQUIDISTANT, read_lens
from metric3d_ros.camera.pinhole import Pinhole
from metric3d_ros.camera.pixel_rays import compute_rays, pixel_rays, ray_planes
from metric3d_ros.camera.roi_and_binning import apply_roi_and_binning, check_roi, described_size_hw
from metric3d_ros.camera.unit_rays import project_directions, unit_rays
from metric3d_ros.errors import CameraError

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

_UNCALIBRATED_REMEDY = (
    "calibrate the camera so that its driver publishes real intrinsics, or set the parameter `camera_info_url`, "
    "`intrinsics` or `hfov_deg`"
)
# A field of view of 179.99 degrees; what is seen through far less than that overflows float32.
_LEAST_FOCAL_PER_SIDE = 1e-4
MOST_FOCAL_PX = 1e7
MOST_HFOV_DEG = 179.9
"""That a person may give: the focal length is then a 2300th of the width."""
# Farther off, single precision moves a ray by a tenth of a pixel.
_MOST_OFFSET_PX = 1e6
_SAMPLED_SIDE_PX = 160


@dataclass(frozen=True)
class Camera(Pinhole):
    """A pinhole camera with optional lens distortion, for one image size.

    Pixel coordinates have their origin at the centre of the top left pixel, u right, v down. The optical frame is
    REP-103's: x right, y down, z forward.

    Attributes:
        width, height: the image's size in pixels.
        fx, fy: focal lengths in pixels.
        cx, cy: principal point in pixels.
        distortion_model: "" (none), "plumb_bob", "rational_polynomial" (OpenCV's polynomial model) or "equidistant"
            (OpenCV's fisheye model); other names of these are taken and become one of them.
        distortion: the model's coefficients in OpenCV's order, 4, 5, 8, 12 or 14; empty for a polynomial model
            if all are 0. An equidistant lens is none even then: r = f theta.
        along_rays: depth of this camera's image is the range along each pixel's ray, not z along the optical axis, and
            `rays` are unit vectors. For lenses that see 90 degrees off the axis, where z ends.

    Raises:
        CameraError: a size below one pixel, a focal length or principal point that no camera can have, or a
            distortion model that is not known.
    """

    distortion_model: str = ""
    distortion: tuple[float, ...] = ()
    along_rays: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CameraError(f"camera size is {self.width}x{self.height}, expected at least 1x1 pixels")
        values = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not all(math.isfinite(value) for value in values):
            listed = ", ".join(f"{value:.4g}" for value in values[:18])
            raise CameraError(f"camera intrinsics and D ({listed}) are not all finite; {_UNCALIBRATED_REMEDY}")
        if self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f"focal length is {self.fx:g} x {self.fy:g} px, expected above 0 (0 means uncalibrated); "
                f"{_UNCALIBRATED_REMEDY}"
            )
        least = min(self.fx / self.width, self.fy / self.height)
        if (
            least < _LEAST_FOCAL_PER_SIDE
            or max(self.fx, self.fy) > MOST_FOCAL_PX
            or max(abs(self.cx), abs(self.cy)) > _MOST_OFFSET_PX
        ):
            raise CameraError(
                f"camera intrinsics fx, fy, cx, cy are {self.fx:g}, {self.fy:g}, {self.cx:g}, {self.cy:g} px for "
                f"{self.width}x{self.height}, which no lens has; {_UNCALIBRATED_REMEDY}"
            )
        model, distortion = read_lens(self.distortion_model, self.distortion)
        object.__setattr__(self, "distortion_model", model)
        object.__setattr__(self, "distortion", distortion)

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

        K, D and P describe the full-resolution calibration; region of interest and binning are applied to them.

        Args:
            info: a sensor_msgs/CameraInfo or anything with its fields.
            rectified: the image has been rectified: use P (K where P[0] is 0, which means not given), no distortion.

        Raises:
            CameraError: uncalibrated (K[0] is 0), non-finite, or a region that does not fit the calibrated size.
        """
        model, distortion = str(info.distortion_model), tuple(float(value) for value in info.d)
        name, matrix = "K", np.array(info.k, np.float64).reshape(3, 3)
        if rectified:
            model, distortion = "", ()
            if info.p[0] != 0:
                name, matrix = "P", np.array(info.p, np.float64).reshape(3, 4)
        if _intrinsics(matrix) == (1, 1, 0, 0):
            raise CameraError(
                f"{name} of the camera_info is the unit matrix, a placeholder for a camera that is not calibrated; "
                f"{_UNCALIBRATED_REMEDY}"
            )
        if info.width < 1 or info.height < 1:
            raise CameraError(
                f"camera_info has the size {info.width}x{info.height}, expected the calibrated size; "
                f"{_UNCALIBRATED_REMEDY}"
            )
        check_roi(info)
        height, width = described_size_hw(info)
        return cls(width, height, *_intrinsics(apply_roi_and_binning(matrix, info)), model, distortion)

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
    def lens(self) -> Lens | None:
        """The lens model; None if the lens is perfect."""
        return lens_of(self.distortion_model, self.distortion)

    @property
    def is_fisheye(self) -> bool:
        """Whether the lens follows the equidistant (fisheye) model rather than a polynomial one."""
        return self.distortion_model == EQUIDISTANT

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

    def measured_along_rays(self) -> Camera:
        """Return the same camera with depth measured along its rays."""
        return replace(self, along_rays=True)

    def without_distortion(self) -> Camera:
        """Return the pinhole camera with the same intrinsics and a perfect lens."""
        return replace(self, distortion_model="", distortion=())

    def rays(self) -> Float32Array:
        """Return the direction that each pixel looks along: (H, W, 3) float32, optical frame, scaled to z = 1.

        A point is its ray times its depth. With `along_rays` they are unit vectors, also up to 100 degrees off the axis
        if the lens sees so far. NaN if the lens model gives a pixel no ray in front of the camera, on the
        branch of the model that starts at the optical axis.
        Computed once per camera; the array is shared and read-only.
        """
        return unit_rays(self, self.lens) if self.along_rays else pixel_rays(self, self.lens)

    def ray_planes(self, *, stride: int = 1) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Return x, y and z of the rays of every `stride`-th row and column, as planes for arithmetic by axis.

        Each broadcasts to (ceil(H / stride), ceil(W / stride)); a perfect lens needs no more than a row of x, a column
        of y and a single z. NaN in all three where a pixel has no ray. Cached; the arrays are shared and read-only.
        """
        if self.along_rays:
            rays = self.rays()[::stride, ::stride]
            return rays[..., 0], rays[..., 1], rays[..., 2]
        return ray_planes(self, self.lens, stride)

    def project(self, points: npt.ArrayLike) -> Float64Array:
        """Return the pixels (..., 2) float64 (u, v) where `points` (..., 3) in the optical frame appear.

        NaN for points that are not in front of the camera (z <= 0), or where the lens model has turned around. With
        `along_rays`, an equidistant lens also sees points up to 100 degrees off the axis.
        """
        xyz = np.asarray(points, np.float64)
        if self.along_rays and isinstance(self.lens, EquidistantLens):
            return project_directions(self, self.lens, xyz)
        flat = xyz.reshape(-1, 3)
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y = np.where(flat[:, 2] > 0, flat[:, :2].T / flat[:, 2], np.nan)
        if self.lens is not None:
            x, y = self.lens.distort(x, y)
        pixels = np.stack([x * self.fx + self.cx, y * self.fy + self.cy], axis=-1)
        return pixels.reshape(*xyz.shape[:-1], 2)

    def share_without_ray(self) -> float:
        """Return about which part of the image's pixels has no ray, 0 to 1, from a coarse grid of them."""
        if self.lens is None:
            return 0.0
        shrink = max(1.0, max(self.width, self.height) / _SAMPLED_SIDE_PX)
        sampled = self.scaled(max(1, round(self.width / shrink)), max(1, round(self.height / shrink)))
        return float(np.isnan(compute_rays(sampled, self.lens)[..., 0]).mean())


def _intrinsics(matrix: Float64Array) -> tuple[float, float, float, float]:
    return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])
