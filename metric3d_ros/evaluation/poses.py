"""Files of camera poses: one line for each image, as the TUM and KITTI benchmarks have them."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import DataError
from metric3d_ros.files.boundary import read_text
from metric3d_ros.files.excerpts import shorten

Pose = npt.NDArray[np.float64]

_MOST_BYTES = 64 << 20
_REMEDY = (
    "expected a line for each image in the order of their names: 12 numbers (rows of the 3 x 4 matrix from camera to "
    "world, metres), or stamp tx ty tz qx qy qz qw"
)
_NOT_UNIT = 0.02


def read_poses(path: Path) -> list[Pose]:
    """Return the poses (4, 4) of a file, world from camera's optical frame, metres, in the order of its lines.

    Empty lines and those that begin with # do not count. Raises DataError with the number of the first bad line.
    """
    text = read_text(path, error=DataError, remedy=_REMEDY, most_bytes=_MOST_BYTES, what="poses")
    poses = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].replace(",", " ").split()
        if words:
            poses.append(_parse(path, number, words))
    if not poses:
        raise DataError(f"poses {path}: there is none; {_REMEDY}")
    return poses


def _parse(path: Path, number: int, words: list[str]) -> Pose:
    where = f"poses {path}: line {number}"
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise DataError(f"{where} has {shorten(' '.join(words), 60)!r}; {_REMEDY}") from error
    if len(values) not in (8, 12) or not all(math.isfinite(value) for value in values):
        raise DataError(f"{where} has {len(values)} numbers, or one that is not finite; {_REMEDY}")
    pose = np.eye(4)
    if len(values) == 12:
        pose[:3] = np.reshape(values, (3, 4))
    else:
        pose[:3, 3] = values[1:4]
        length = math.hypot(*values[4:])
        if abs(length - 1) > _NOT_UNIT:
            raise DataError(f"{where} has a quaternion of length {length:.3g}, expected 1; {_REMEDY}")
        pose[:3, :3] = _rotation(*(value / length for value in values[4:]))
    if np.abs(pose[:3, :3] @ pose[:3, :3].T - np.eye(3)).max() > _NOT_UNIT or np.linalg.det(pose[:3, :3]) < 0:
        raise DataError(f"{where} has a matrix that is no rotation; {_REMEDY}")
    return pose


def _rotation(x: float, y: float, z: float, w: float) -> Pose:
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
