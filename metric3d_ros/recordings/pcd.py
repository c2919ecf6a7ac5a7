"""Point clouds as PCD files (version 0.7, binary), as PCL and Open3D read them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.files.atomic import replacing
from metric3d_ros.recordings.valid_points import keep_valid

_NORMALS = ("normal_x", "normal_y", "normal_z")


def write_pcd(
    path: str | Path,
    points: npt.NDArray[Any],
    *,
    rgb: npt.NDArray[np.uint8] | None = None,
    normals: npt.NDArray[Any] | None = None,
) -> int:
    """Write points (..., 3) in metres as a binary PCD file and return how many were written.

    `rgb` (..., 3) uint8 and `normals` (..., 3) unit go with the points of the same place. Points with a NaN or infinite
    coordinate are left out. Colours are packed as PCL has them: the bytes B, G, R, 0 of a float.

    Raises DataError when the arrays do not fit together.
    """
    path = Path(path)
    points, rgb, normals = keep_valid(path, points, rgb=rgb, normals=normals)
    names = ["x", "y", "z"] + ["rgb"] * (rgb is not None) + [*_NORMALS] * (normals is not None)
    table = np.zeros((len(points), len(names)), "<f4")
    table[:, :3] = points
    if rgb is not None:
        table.view(np.uint8)[:, 12:15] = rgb[:, ::-1]
    if normals is not None:
        table[:, -3:] = normals
    count = len(names)
    header = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        f"FIELDS {' '.join(names)}",
        f"SIZE {' '.join(['4'] * count)}",
        f"TYPE {' '.join(['F'] * count)}",
        f"COUNT {' '.join(['1'] * count)}",
        f"WIDTH {len(table)}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {len(table)}",
        "DATA binary\n",
    ]
    with replacing(path) as file:
        file.write("\n".join(header).encode())
        file.write(table.tobytes())
    return len(table)
