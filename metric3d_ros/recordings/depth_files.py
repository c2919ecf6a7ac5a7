"""Depth and normals as files: 16-bit PNG with a scale, float TIFF, and NumPy arrays."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import DataError
from metric3d_ros.files.atomic import replacing
from metric3d_ros.recordings.images import decode_image, encode_image
from metric3d_ros.recordings.numpy_files import read_array

PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff"})
DEPTH_SUFFIXES = PICTURE_SUFFIXES | {".npy", ".npz"}
MILLIMETRES = 1000.0

FloatImage = npt.NDArray[np.float32]


def read_depth(path: str | Path, *, units_per_metre: float | None = None) -> FloatImage:
    """Read depth as (H, W) float32 metres along the optical axis; NaN where it was not measured.

    An integer PNG or TIFF is divided by `units_per_metre` (1000 when it is None: millimetres); a float TIFF, .npy, or
    .npz (its `depth`, or its only array) is metres unless `units_per_metre` is given. A value that is not finite or
    not above 0 was not measured.

    Raises DataError when the suffix or the array is of another kind, ImageError when a picture cannot be decoded.
    """
    path = Path(path)
    if units_per_metre is not None and not units_per_metre > 0:
        raise DataError(f"{path}: depth scale is {units_per_metre}, expected units per metre above 0, such as 1000")
    suffix = path.suffix.lower()
    if suffix in {".npy", ".npz"}:
        stored = read_array(path, "depth")
    elif suffix in DEPTH_SUFFIXES:
        stored = decode_image(path, cv2.IMREAD_UNCHANGED)
    else:
        raise DataError(f"{path} is no depth file by its suffix; expected one of {' '.join(sorted(DEPTH_SUFFIXES))}")
    if stored.ndim != 2:
        raise DataError(f"{path} has shape {stored.shape}; expected depth with one channel (H, W)")
    if stored.dtype == np.uint8:
        raise DataError(f"{path} has 8 bits per pixel, too few for depth; expected 16-bit or float")
    if units_per_metre is None:
        units_per_metre = MILLIMETRES if np.issubdtype(stored.dtype, np.integer) else 1.0
    depth_m = stored.astype(np.float32) / np.float32(units_per_metre)
    return np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(np.nan))


def write_depth(path: str | Path, depth_m: FloatImage, *, units_per_metre: float = MILLIMETRES) -> None:
    """Write (H, W) metres: .png as 16 bits with a scale, 0 where not finite; .npy as float32 metres, unchanged.

    Depth that does not fit into 16 bits is written as 0 (not measured), never as a smaller depth.
    Raises DataError for another suffix or shape.
    """
    path = Path(path)
    if depth_m.ndim != 2:
        raise DataError(f"{path}: depth has shape {depth_m.shape}, expected (H, W)")
    if path.suffix.lower() == ".npy":
        with replacing(path) as file:
            np.save(file, depth_m.astype(np.float32, copy=False))
    elif path.suffix.lower() == ".png":
        encode_image(path, depth_to_units(depth_m, units_per_metre=units_per_metre))
    else:
        raise DataError(
            f"{path}: cannot write depth as {path.suffix or 'a file without suffix'}; expected .png or .npy"
        )


def depth_to_units(depth_m: FloatImage, *, units_per_metre: float = MILLIMETRES) -> npt.NDArray[np.uint16]:
    """Return (H, W) metres as 16 bits; 0 where not finite, or too far for 16 bits."""
    units = np.rint(depth_m.astype(np.float64) * units_per_metre)
    fits = np.isfinite(units) & (units > 0) & (units <= np.iinfo(np.uint16).max)
    return np.where(fits, units, 0).astype(np.uint16)


def read_normals(path: str | Path) -> FloatImage:
    """Read normals as (H, W, 3) float32 unit vectors in the camera's optical frame; NaN where there is none.

    The file is .npy, or .npz (its `normals`, or its only array). Vectors of length 0 become NaN, others are scaled to
    length 1; their sign is kept (this package's normals face the camera).

    Raises DataError when the array is of another kind.
    """
    path = Path(path)
    if path.suffix.lower() not in {".npy", ".npz"}:
        raise DataError(f"{path} is no file of normals by its suffix; expected .npy or .npz")
    stored = read_array(path, "normals")
    if stored.ndim != 3 or stored.shape[2] != 3:
        raise DataError(f"{path} has shape {stored.shape}; expected normals (H, W, 3)")
    normals = stored.astype(np.float32)
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    return np.where(length > 0, normals / np.where(length > 0, length, 1), np.float32(np.nan)).astype(np.float32)
