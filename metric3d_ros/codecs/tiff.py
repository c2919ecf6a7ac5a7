"""Reads the directory of a TIFF: its size, its orientation, and how many rows are missing (TIFF 6.0; BigTIFF)."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ImageError

Bytes = NDArray[np.uint8]

_WIDTH, _HEIGHT, _STRIPS, _ORIENTATION, _ROWS_PER_STRIP, _STRIP_BYTES = 256, 257, 273, 274, 278, 279
_PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 284, 322, 323, 324, 325
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Those that the tags above may have."""
_READ = frozenset((_WIDTH, _HEIGHT, _STRIPS, _ORIENTATION, _ROWS_PER_STRIP, _STRIP_BYTES))
_READ |= {_PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES}
_MOST_ENTRIES = 4096
_MOST_VALUES = 1 << 20
_SEPARATE_PLANES = 2


@dataclass(frozen=True)
class _Form:
    """Sizes of what TIFF and BigTIFF differ in."""

    order: str
    offset: str
    count: str
    entry_bytes: int
    value_at: int
    """In an entry."""
    first_at: int
    """Where the place of the first directory stands."""


@dataclass(frozen=True)
class Directory:
    """Those tags of the first picture that are needed here."""

    values: dict[int, tuple[int, ...]]
    orientation_at: int | None
    """Where the value of the orientation stands."""
    order: str

    def one(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag."""
        return self.values.get(tag, (default,))[0]


def is_tiff(data: Bytes) -> bool:
    """Return whether the data start as a TIFF or BigTIFF of either byte order."""
    return _form(data) is not None


def _form(data: Bytes) -> _Form | None:
    start = data[:4].tobytes()
    order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
    if order and start[2:] == struct.pack(f"{order}H", 42):
        return _Form(order, "I", "H", 12, 8, 4)
    if order and start[2:] == struct.pack(f"{order}H", 43):
        return _Form(order, "Q", "Q", 20, 12, 8)
    return None


def read_directory(data: Bytes, *, what: str, remedy: str) -> Directory:
    """Return the directory of the first picture; ImageError if it is not there, as it is often the last part."""
    form = _form(data)
    assert form is not None
    order = form.order
    (at,) = _unpack(data, f"{order}{form.offset}", form.first_at) or (0,)
    (entries,) = _unpack(data, f"{order}{form.count}", at) or (0,)
    first = at + struct.calcsize(form.count)
    if entries > _MOST_ENTRIES:
        raise ImageError(f"{what} is a TIFF with {entries} tags, expected some twenty: it is damaged; {remedy}")
    if not at or first + entries * form.entry_bytes > len(data):
        raise ImageError(
            f"{what} is truncated: the directory of this TIFF, at byte {at} of {len(data)}, is missing, and "
            f"all rows with it; {remedy}"
        )
    values: dict[int, tuple[int, ...]] = {}
    orientation_at = None
    for entry in range(first, first + entries * form.entry_bytes, form.entry_bytes):
        tag, kind, count = struct.unpack(f"{order}HH{form.offset}", data[entry : entry + form.value_at].tobytes())
        if tag not in _READ or tag in values or kind not in _TYPES or not 0 < count <= _MOST_VALUES:
            continue
        layout, place = f"{order}{count}{_TYPES[kind]}", entry + form.value_at
        if struct.calcsize(layout) > form.entry_bytes - form.value_at:
            (place,) = struct.unpack(f"{order}{form.offset}", data[place : entry + form.entry_bytes].tobytes())
        found = _unpack(data, layout, place)
        if found is None:
            continue
        values[tag] = found
        if tag == _ORIENTATION and kind == 3:
            orientation_at = place
    return Directory(values, orientation_at, order)


def read_size(directory: Directory) -> tuple[int, int]:
    """Return (height, width) as the pixels lie in the file; zeros if the file does not state them."""
    return directory.one(_HEIGHT), directory.one(_WIDTH)


def unturned(data: Bytes, directory: Directory) -> Bytes:
    """Return the TIFF with an orientation of 1: OpenCV's reader turns pictures by it and cannot be told not to."""
    if directory.orientation_at is None or directory.one(_ORIENTATION) == 1:
        return data
    copy = data.copy()
    at = directory.orientation_at
    copy[at : at + 2] = np.frombuffer(struct.pack(f"{directory.order}H", 1), np.uint8)
    return copy


def count_missing_rows(data: Bytes, directory: Directory) -> int:
    """Return how many rows have strips or tiles that are not completely in the data."""
    height, width = read_size(directory)
    starts, lengths = directory.values.get(_STRIPS, ()), directory.values.get(_STRIP_BYTES, ())
    across, rows_each = 1, directory.one(_ROWS_PER_STRIP, height)
    if _TILES in directory.values:
        starts, lengths = directory.values[_TILES], directory.values.get(_TILE_BYTES, ())
        across, rows_each = -(-width // max(directory.one(_TILE_WIDTH), 1)), directory.one(_TILE_HEIGHT)
    rows_each = max(min(rows_each, height), 1)
    down = -(-height // rows_each)
    parts = list(zip(starts, lengths, strict=False))
    planes = len(parts) // max(across * down, 1) if directory.one(_PLANAR, 1) == _SEPARATE_PLANES else 1
    if len(parts) < across * down:
        return height
    cut = {
        i % (across * down) // across
        for i, (start, size) in enumerate(parts[: across * down * max(planes, 1)])
        if start + size > len(data)
    }
    return sum(min(rows_each, height - row * rows_each) for row in cut)


def _unpack(data: Bytes, layout: str, at: int) -> tuple[int, ...] | None:
    size = struct.calcsize(layout)
    if at + size > len(data):
        return None
    return struct.unpack(layout, data[at : at + size].tobytes())
