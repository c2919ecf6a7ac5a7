"""Estimate: a network's outputs for one image, and what is needed to interpret them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Estimate:
    """The network's outputs for one image, at the image's own resolution.

    Attributes:
        depth_m: float32 (H, W), metres along the optical axis (z), or along the rays if `camera.along_rays`, NaN where
            invalid.
        confidence: float32 (H, W), expected accuracy, 0 to 1, 0 where depth is invalid; None if not requested or
            not in the model.
        normals: float32 (H, W, 3), unit vectors in the optical frame that face the camera, NaN where invalid; None
            if not requested or not in the model.
        camera: the image's camera; measured along rays if its lens was split into several views.
        inference_size_hw: (height, width) of the image that the network saw, before padding.
        timings_ms: milliseconds by stage: "prepare", "infer", "finish".
    """

    depth_m: Float32Array
    confidence: Float32Array | None
    normals: Float32Array | None
    camera: Camera
    inference_size_hw: tuple[int, int]
    timings_ms: dict[str, float]

    def points(self, *, stride: int = 1) -> Float32Array:
        """Return the point that each pixel shows: (H, W, 3) metres in the optical frame, NaN where depth is.

        Example:
            >>> top = estimate.points()[0]  # the points of the first row

        `stride`: only every n-th row and column.
        """
        from metric3d_ros.geometry import depth_to_points

        return depth_to_points(self.depth_m, self.camera, stride=stride)

    def to_numpy(self) -> dict[str, Float32Array]:
        """Return the arrays that there are, by their names; they are this estimate's own, not copies.

        Example:
            >>> numpy.savez("depth.npz", **estimate.to_numpy())
        """
        arrays = {"depth_m": self.depth_m, "confidence": self.confidence, "normals": self.normals}
        return {name: array for name, array in arrays.items() if array is not None}

    def to_pil(self, kind: str = "colours") -> Any:
        """Return depth as a PIL.Image.

        Example:
            >>> estimate.to_pil().save("depth.png")

        Args:
            kind: "colours" (RGB, near is warm), "metres" (mode F, NaN where invalid) or "millimetres" (mode I;16, 0
                where invalid, or above 65.535 m).

        Raises:
            DataError: Pillow is not installed.
            ConfigurationError: another kind.
        """
        from metric3d_ros.estimation.views.conversions import depth_to_pil

        return depth_to_pil(self.depth_m, kind)

    def to_open3d_cloud(self, rgb: npt.NDArray[np.uint8] | None = None, *, stride: int = 1) -> Any:
        """Return the valid points as an open3d.t.geometry.PointCloud in the optical frame, metres.

        It has normals if the estimate has. `to_legacy()` turns it into an open3d.geometry.PointCloud.

        Example:
            >>> cloud = estimate.to_open3d_cloud(frame.rgb, stride=2)
            >>> open3d.t.io.write_point_cloud("cloud.pcd", cloud)

        Args:
            rgb: the image (H, W, 3) uint8, for colours; None for none.
            stride: only every n-th row and column.

        Raises:
            DataError: Open3D is not installed.
            ImageError: the image has another size.
        """
        from metric3d_ros.estimation.views.conversions import to_open3d_cloud

        return to_open3d_cloud(self.depth_m, self.camera, rgb=rgb, normals=self.normals, stride=stride)

    def to_open3d_rgbd(self, rgb: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
        """Return an open3d.t.geometry.RGBDImage, 0 where depth is invalid, and its 3 x 3 intrinsics as a tensor.

        The image shares the memory of `rgb`, and of depth if all of it is valid.

        Example:
            >>> rgbd, intrinsics = estimate.to_open3d_rgbd(frame.rgb)
            >>> cloud = open3d.t.geometry.PointCloud.create_from_rgbd_image(rgbd, intrinsics, depth_scale=1.0)

        Raises:
            CameraError: the camera has a lens, which Open3D's RGBD images have not.
            DataError: Open3D is not installed.
            ImageError: the image (H, W, 3) has another size.
        """
        from metric3d_ros.estimation.views.conversions import to_open3d_rgbd

        return to_open3d_rgbd(self.depth_m, self.camera, rgb)
