"""Points to sensor_msgs/PointCloud2 and back."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.codecs import MAX_PIXELS
from metric3d_ros.errors import MessageError
from metric3d_ros.geometry.row_blocks import row_slices
from metric3d_ros.messages.buffers import share_bytes, view_bytes

_FLOAT32 = 7  # PointField.FLOAT32
_POINT_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""PointField.datatype to NumPy's name of it."""
_NORMALS = ("normal_x", "normal_y", "normal_z")
_CONFIDENCE = "confidence"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cloud:
    """A point cloud's arrays; unorganised clouds have H = 1."""

    points: NDArray[np.float32]
    """(H, W, 3) metres in the cloud's frame, NaN where invalid."""
    rgb: NDArray[np.uint8] | None
    """(H, W, 3), None if the cloud has no `rgb` or `rgba`."""
    normals: NDArray[np.float32] | None
    """(H, W, 3) unit vectors, None if the cloud has none."""
    confidence: NDArray[np.float32] | None = None
    """(H, W), 0 to 1, None if the cloud has none."""


def points_to_cloud(
    points: NDArray[np.float32],
    *,
    header: Any,
    sensor_msgs: Any,
    rgb: NDArray[np.uint8] | None = None,
    normals: NDArray[np.float32] | None = None,
    confidence: NDArray[np.float32] | None = None,
    organized: bool = True,
) -> Any:
    """Build a PointCloud2 of (H, W, 3) or (N, 3) float32 points in metres, NaN where invalid.

    Fields are x y z, then `rgb` if given (uint8 B, G, R, 0 in a FLOAT32, as PCL reads it), then normal_x normal_y
    normal_z and confidence if given: 12 bytes a point and 4, 12 and 4 more, little-endian, no padding. `rgb` and
    `normals` have the shape of `points`, `confidence` has one number for each.

    Organised clouds are H x W with NaN for invalid points and is_dense false. With `organized` false, or (N, 3) points,
    invalid points are left out, the height is 1 and is_dense true if all of them have a normal, or none has the field.
    The normal of an invalid point is NaN, its confidence 0.
    """
    for name, extra in (("rgb", rgb), ("normals", normals)):
        if extra is not None and extra.shape != points.shape:
            raise MessageError(f"{name} has shape {extra.shape}, expected the points' {points.shape}")
    if confidence is not None and confidence.shape != points.shape[:-1]:
        raise MessageError(f"confidence has shape {confidence.shape}, expected the points' {points.shape[:-1]}")
    if not organized or points.ndim == 2:
        points = points.reshape(-1, 3)
        kept = np.flatnonzero(np.isfinite(points).all(axis=1))
        points = points.take(kept, axis=0)[None]
        rgb = None if rgb is None else rgb.reshape(-1, 3).take(kept, axis=0)[None]
        normals = None if normals is None else normals.reshape(-1, 3).take(kept, axis=0)[None]
        confidence = None if confidence is None else confidence.reshape(-1).take(kept)[None]
        organized = False

    cloud = NewCloud(
        *points.shape[:2],
        with_rgb=rgb is not None,
        with_normals=normals is not None,
        with_confidence=confidence is not None,
    )
    for rows in cloud.row_slices():
        cloud.fill(rows, points=points, rgb=rgb, normals=normals, confidence=confidence)
        cloud.clear_invalid(rows)
    is_dense = not organized and (normals is None or bool(np.isfinite(normals).all()))
    return cloud.to_message(header=header, sensor_msgs=sensor_msgs, is_dense=is_dense)


class NewCloud:
    """A PointCloud2 under construction: its memory, field by field, so that results are written into it directly.

    Fields are those that `points_to_cloud` describes.

    Attributes:
        points: (H, W, 3) float32, metres.
        rgb: (H, W, 3) uint8; None if it has no colours.
        normals: (H, W, 3) float32; None if it has none.
        confidence: (H, W) float32; None if it has none.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        with_rgb: bool = False,
        with_normals: bool = False,
        with_confidence: bool = False,
    ) -> None:
        """Allocate memory for `height` x `width` points, uninitialised."""
        self._names = ["x", "y", "z"] + ["rgb"] * with_rgb + [*_NORMALS] * with_normals
        first_normal = 3 + with_rgb
        self._names += [_CONFIDENCE] * with_confidence
        floats = np.empty((height, width, len(self._names)), "<f4")
        self._floats = floats
        self.points: NDArray[np.float32] = floats[..., :3]
        # PCL's order is B, G, R, 0.
        self.rgb: NDArray[np.uint8] | None = floats.view(np.uint8)[..., 14:11:-1] if with_rgb else None
        self._fourth_of_rgb = floats.view(np.uint8)[..., 15] if with_rgb else None
        self.normals: NDArray[np.float32] | None = (
            floats[..., first_normal : first_normal + 3] if with_normals else None
        )
        self.confidence: NDArray[np.float32] | None = floats[..., -1] if with_confidence else None

    def row_slices(self) -> Iterator[slice]:
        """Return blocks of rows to fill one after another: a block stays in the cache until all its fields are set."""
        return row_slices(len(self._floats), row_bytes=self._floats.strides[0])

    def fill(
        self,
        rows: slice,
        *,
        points: NDArray[np.float32] | None = None,
        rgb: NDArray[np.uint8] | None = None,
        normals: NDArray[np.float32] | None = None,
        confidence: NDArray[np.float32] | None = None,
    ) -> None:
        """Copy some rows of arrays of (H, W, 3), of confidence (H, W), however they are strided."""
        targets = (self.points, self.rgb, self.normals)
        pairs = [(each, to) for each, to in zip((points, rgb, normals), targets, strict=True) if each is not None]
        for array, target in pairs:
            assert target is not None, "the cloud was made without this field"
            for axis in range(3):  # one at a time, because an inner axis of 3 makes a slow loop
                target[rows, :, axis] = array[rows, :, axis]
        if self._fourth_of_rgb is not None:
            self._fourth_of_rgb[rows] = 0
        if confidence is not None:
            assert self.confidence is not None, "the cloud was made without this field"
            self.confidence[rows] = confidence[rows]

    def clear_invalid(self, rows: slice) -> None:
        """Make the normals NaN and the confidence 0 whose points are NaN."""
        if self.normals is None and self.confidence is None:
            return
        invalid = np.isnan(self.points[rows, :, 2])
        if not invalid.any():
            return
        if self.normals is not None:
            self.normals[rows][invalid] = np.nan
        if self.confidence is not None:
            self.confidence[rows][invalid] = 0

    def to_message(self, *, header: Any, sensor_msgs: Any, is_dense: bool = False) -> Any:
        """Return the PointCloud2, whose memory this is: write nothing from then on."""
        height, width, floats = self._floats.shape
        message = sensor_msgs.PointCloud2(
            header=header,
            height=height,
            width=width,
            fields=[
                sensor_msgs.PointField(name=name, offset=4 * i, datatype=_FLOAT32, count=1)
                for i, name in enumerate(self._names)
            ],
            is_bigendian=False,
            point_step=4 * floats,
            row_step=4 * floats * width,
            is_dense=is_dense,
        )
        share_bytes(message, self._floats)
        return message


def cloud_to_points(message: Any, *, max_points: int = MAX_PIXELS) -> Cloud:
    """Read a PointCloud2 with x, y, z and optionally rgb or rgba and normals, in any order, offset and byte order.

    Raises MessageError when x, y or z is missing, a field leaves its point, or steps and length contradict each other.
    """
    height, width = int(message.height), int(message.width)
    point_step, row_step = int(message.point_step), int(message.row_step)
    if height < 0 or width < 0 or height * width > max_points:
        raise MessageError(f"the cloud is {width} x {height} points, expected at most {max_points} in all")
    if height * width == 0:
        empty = np.empty((max(height, 1), 0, 3), np.float32)
        return Cloud(points=empty, rgb=None, normals=None)
    if point_step < 1 or row_step < width * point_step:
        raise MessageError(
            f"the cloud's row_step is {row_step} bytes, expected at least width {width} times point_step {point_step}"
        )
    data = view_bytes(message.data, what="the cloud")
    if data.size != row_step * height:
        raise MessageError(
            f"the cloud has {data.size} bytes of data, expected {row_step * height} ({height} rows of {row_step})"
        )
    order = ">" if message.is_bigendian else "<"
    fields = {str(field.name): field for field in message.fields}

    def view(name: str, kind: str | None = None) -> NDArray[Any]:
        field = fields[name]
        stored = kind or _POINT_TYPES.get(int(field.datatype))
        if stored is None:
            raise MessageError(f"the cloud's field {name[:20]!r} has datatype {field.datatype}, expected 1 to 8")
        dtype = np.dtype(order + stored)
        offset = int(field.offset)
        if offset < 0 or offset + dtype.itemsize > point_step:
            raise MessageError(
                f"the cloud's field {name[:20]!r} is at byte {offset}, which leaves its point of {point_step} bytes"
            )
        return np.ndarray((height, width), dtype, buffer=data, offset=offset, strides=(row_step, point_step))

    missing = [name for name in ("x", "y", "z") if name not in fields]
    if missing:
        raise MessageError(f"the cloud has fields {', '.join(fields)[:80]!r}, expected x, y and z among them")
    with np.errstate(over="ignore", invalid="ignore"):
        points = np.dstack([view(name).astype(np.float32) for name in ("x", "y", "z")])
        normals = None
        if all(name in fields for name in _NORMALS):
            normals = np.dstack([view(name).astype(np.float32) for name in _NORMALS])
        confidence = view(_CONFIDENCE).astype(np.float32) if _CONFIDENCE in fields else None
    rgb = None
    for name in ("rgb", "rgba"):
        if name in fields:
            packed = view(name, "u4").astype(np.uint32)
            rgb = np.dstack([packed >> 16, packed >> 8, packed]).astype(np.uint8)
            break
    return Cloud(points=points, rgb=rgb, normals=normals, confidence=confidence)
