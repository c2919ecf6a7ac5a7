"""An estimate as what other libraries take: Open3D's clouds and images, Pillow's images; imported when asked for."""

from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError, DataError, ImageError
from metric3d_ros.geometry import depth_to_points
from metric3d_ros.pictures import DepthColours, depth_to_rgb
from metric3d_ros.recordings.depth_files import depth_to_units

COLOURS, METRES, MILLIMETRES = "colours", "metres", "millimetres"

Float32Array = npt.NDArray[np.float32]


def depth_to_pil(depth_m: Float32Array, kind: str) -> Any:
    """Return depth (H, W) as a PIL.Image; `Estimate.to_pil` describes it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("PIL images need Pillow: pip install pillow") from error
    if kind == COLOURS:
        return Image.fromarray(depth_to_rgb(depth_m, DepthColours.fitting(depth_m)))
    if kind == METRES:
        return Image.fromarray(np.ascontiguousarray(depth_m, np.float32))
    if kind == MILLIMETRES:
        return Image.fromarray(depth_to_units(depth_m))
    raise ConfigurationError(f"a picture of {kind!r} is unknown, expected {COLOURS}, {METRES} or {MILLIMETRES}")


def to_open3d_cloud(
    depth_m: Float32Array,
    camera: Camera,
    *,
    rgb: npt.NDArray[np.uint8] | None,
    normals: Float32Array | None,
    stride: int,
) -> Any:
    """Return an open3d.t.geometry.PointCloud; `Estimate.to_open3d_cloud` describes it."""
    open3d = _import_open3d()
    every = (slice(None, None, stride),) * 2
    points = depth_to_points(depth_m, camera, stride=stride).reshape(-1, 3)
    valid = np.isfinite(points).all(axis=1)
    cloud = open3d.t.geometry.PointCloud(_tensor(open3d, points[valid]))
    if rgb is not None:
        _check_size(rgb, depth_m)
        cloud.point.colors = _tensor(open3d, rgb[every].reshape(-1, 3)[valid])
    if normals is not None:
        cloud.point.normals = _tensor(open3d, normals[every].reshape(-1, 3)[valid])
    return cloud


def to_open3d_rgbd(depth_m: Float32Array, camera: Camera, rgb: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
    """Return an open3d.t.geometry.RGBDImage and its intrinsics; `Estimate.to_open3d_rgbd` describes them."""
    if camera.along_rays or camera.distortion:
        raise CameraError(
            "Open3D's RGBD images have no lens, and this camera has one: use to_open3d_cloud, or rectify the image"
        )
    open3d = _import_open3d()
    _check_size(rgb, depth_m)
    # Open3D takes 0 for "no depth". Without invalid pixels nothing is copied.
    depth_m = depth_m if np.isfinite(depth_m).all() else np.nan_to_num(depth_m, nan=0.0, posinf=0.0, neginf=0.0)
    images = [open3d.t.geometry.Image(_tensor(open3d, image)) for image in (rgb, depth_m[..., None])]
    return open3d.t.geometry.RGBDImage(*images), _tensor(open3d, np.ascontiguousarray(camera.matrix, np.float64))


def _tensor(open3d: Any, array: npt.NDArray[Any]) -> Any:
    """Return an array as a tensor that shares its memory, if it is contiguous and can be written."""
    return open3d.core.Tensor.from_numpy(np.require(array, requirements=["C", "W"]))


def _check_size(rgb: npt.NDArray[np.uint8], depth_m: Float32Array) -> None:
    if rgb.shape != (*depth_m.shape, 3) or rgb.dtype != np.uint8:
        raise ImageError(f"the image is {rgb.dtype} {rgb.shape}, expected uint8 {(*depth_m.shape, 3)} as depth has")


def _import_open3d() -> Any:
    try:
        import open3d
    except ImportError as error:
        remedy = "pip install '.[open3d]' in the source folder"
        raise DataError(f"this needs Open3D, which cannot be imported ({error}): {remedy}") from error
    return open3d
