"""Point clouds as PLY files: binary little-endian, with colours and normals if given."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import DataError
from metric3d_ros.files.atomic import replacing
from metric3d_ros.files.boundary import one_line_about, read_bytes
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.recordings.valid_points import keep_valid

_POSITION = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
_NORMAL = [("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4")]
_COLOUR = [("red", "u1"), ("green", "u1"), ("blue", "u1")]
_PLY_TYPES = {"<f4": "float", "u1": "uchar"}
_END = b"end_header\n"
_MOST_HEADER_BYTES = 1 << 16
_MOST_BYTES = 1 << 33
_NUMPY_TYPES = {
    name: numpy_type
    for numpy_type, names in {
        "i1": ("char", "int8"),
        "u1": ("uchar", "uint8"),
        "<i2": ("short", "int16"),
        "<u2": ("ushort", "uint16"),
        "<i4": ("int", "int32"),
        "<u4": ("uint", "uint32"),
        "<f4": ("float", "float32"),
        "<f8": ("double", "float64"),
    }.items()
    for name in names
}


def write_ply(
    path: str | Path,
    points: npt.NDArray[Any],
    *,
    rgb: npt.NDArray[np.uint8] | None = None,
    normals: npt.NDArray[Any] | None = None,
    comment: str = "",
) -> int:
    """Write points (..., 3) in metres as a PLY file and return how many were written.

    `rgb` (..., 3) uint8 and `normals` (..., 3) unit go with the points of the same place. Points with a NaN or infinite
    coordinate are left out; a normal that is NaN is written as 0 0 0, which viewers read as "none". `comment` goes
    into the header, one line.

    Raises DataError when the arrays do not fit together.
    """
    path = Path(path)
    points, rgb, normals = keep_valid(path, points, rgb=rgb, normals=normals)
    columns = [(_POSITION, points)]
    if normals is not None:
        columns.append((_NORMAL, np.nan_to_num(normals, nan=0.0, posinf=0.0, neginf=0.0)))
    if rgb is not None:
        columns.append((_COLOUR, rgb))
    fields = [field for group, _ in columns for field in group]
    vertices = np.empty(len(points), dtype=fields)
    for group, values in columns:
        for i, (name, _) in enumerate(group):
            vertices[name] = values[:, i]
    header = ["ply", "format binary_little_endian 1.0"]
    if comment:
        header.append("comment " + comment.replace("\n", " "))
    header.append(f"element vertex {len(vertices)}")
    header += [f"property {_PLY_TYPES[kind]} {name}" for name, kind in fields]
    header.append("end_header\n")
    with replacing(path) as file:
        file.write("\n".join(header).encode())
        file.write(vertices.tobytes())
    return len(vertices)


def read_ply(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """Read the vertices of a binary little-endian PLY file: one (N,) array per property, by name.

    Elements after the vertices (faces) are ignored. Raises DataError for any other kind of file, or a truncated one.
    """
    path = Path(path)
    remedy = "write one with metric3d_ros, or convert it"
    with one_line_about(path, DataError, what="binary little-endian PLY file", remedy=remedy):
        return _parse(path, read_bytes(path, most_bytes=_MOST_BYTES, error=DataError, remedy=remedy))


def _parse(path: Path, data: bytes) -> dict[str, npt.NDArray[Any]]:
    end = data.find(_END, 0, _MOST_HEADER_BYTES)
    head, body = data[: max(end, 0)], memoryview(data)[end + len(_END) :]
    lines = head.decode("ascii", errors="replace").splitlines()
    if end < 0 or lines[:1] != ["ply"] or "format binary_little_endian 1.0" not in lines:
        raise DataError(f"{path} is no binary little-endian PLY file; write one with metric3d_ros, or convert it")
    count, element = 0, ""
    fields: list[tuple[str, str]] = []
    for line in lines:
        words = line.split()
        if words[:1] == ["element"]:
            element = words[1]
            if element == "vertex":
                count = int(words[2])
                if count < 0:
                    raise DataError(f"{path} has {count} vertices, expected at least 0; write it again")
            elif not fields:
                raise DataError(
                    f"{path}: element {shorten(element, 40)} comes before the vertices; expected vertices first"
                )
        elif words[:1] == ["property"] and element == "vertex":
            if words[1] not in _NUMPY_TYPES:
                raise DataError(
                    f"{path}: vertex property of type {shorten(words[1], 40)}; expected one of {sorted(_NUMPY_TYPES)}"
                )
            fields.append((words[2], _NUMPY_TYPES[words[1]]))
    kind = np.dtype(fields)
    if len(body) < count * kind.itemsize:
        raise DataError(f"{path} is truncated: {len(body)} bytes of vertices, expected {count * kind.itemsize}")
    vertices = np.frombuffer(body, kind, count)
    return {name: vertices[name].copy() for name, _ in fields}
