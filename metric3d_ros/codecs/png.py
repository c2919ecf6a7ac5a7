"""Finds the end of a PNG and what is missing of a truncated one (ISO/IEC 15948)."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ImageError

Bytes = NDArray[np.uint8]

START = b"\x89PNG\r\n\x1a\n"
_IHDR = struct.Struct(">II5B")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, and the steps between rows and between columns of each pass."""
_PIECE_BYTES = 1 << 10
_MOST_CHUNKS = 1 << 16
"""Of 8 KiB each, as encoders write them, in 512 MiB; each costs time, and may be 12 bytes."""


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int
    """Where its length stands."""
    body: Bytes
    """As much of it as there is."""
    end: int
    """Behind its checksum, if that is there."""


def read_size(data: Bytes) -> tuple[int, int] | None:
    """Return (height, width); None if the header is not there."""
    if len(data) < 24 or data[12:16].tobytes() != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24].tobytes())
    return height, width


def find_end(data: Bytes) -> int | None:
    """Return where the picture ends; None if its chunks do not fit the data one after the other up to IEND.

    OpenCV's reader allocates the size in a chunk's header (up to 2 GB) before it checks that the data are that long.
    """
    for chunk in _chunks(data):
        if chunk.end > len(data):
            return None
        if chunk.name == b"IEND":
            return chunk.end
    return None


def mend(data: Bytes, *, what: str, remedy: str) -> Bytes:
    """Return a PNG without its end as a complete one, if all of its rows are there.

    Raises ImageError if they are not, with how many are missing, and if a checksum is wrong.
    """
    pixels = check_rows(data, what=what, remedy=remedy)
    parts = [each for each in _chunks(data) if each.name == b"IDAT"]
    if any(each.end <= len(data) and not _is_sound(each, data) for each in _chunks(data)):
        raise ImageError(f"{what} is damaged: the check sum of a part of this PNG is wrong; {remedy}")
    before = data[: parts[0].start].tobytes()
    return np.frombuffer(before + _chunk(b"IDAT", zlib.compress(pixels, 0)) + _chunk(b"IEND", b""), np.uint8)


def check_rows(data: Bytes, *, what: str, remedy: str) -> bytes:
    """Return the filtered rows of a PNG; ImageError with how many are missing, if any are."""
    header = next((each.body.tobytes() for each in _chunks(data) if each.name == b"IHDR"), b"")
    if len(header) != _IHDR.size:
        raise ImageError(f"{what} is a PNG without a header: {remedy}")
    width, height, depth, colour, *_, interlace = _IHDR.unpack(header)
    bits = depth * _CHANNELS.get(colour, 1)
    passes = [(height, width)] if not interlace else [_pass_hw(height, width, *each) for each in _ADAM7]
    expected = sum(rows * (1 + (columns * bits + 7) // 8) for rows, columns in passes if columns)
    parts = [each.body.tobytes() for each in _chunks(data) if each.name == b"IDAT"]
    pixels, is_damaged = _inflate(b"".join(parts), most=expected)
    if len(pixels) < expected or not parts:
        missing = height - height * len(pixels) // max(expected, 1)
        state, fate = ("damaged", "cannot be read") if is_damaged else ("truncated", "are missing")
        raise ImageError(f"{what} is {state}: {missing} of its {height} rows {fate}; {remedy}")
    return pixels


def _chunks(data: Bytes) -> Iterator[_Chunk]:
    at = len(START)
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            return
        head = data[at : at + 8].tobytes()
        length = int.from_bytes(head[:4], "big")
        yield _Chunk(head[4:], at, data[at + 8 : at + 8 + length], at + 12 + length)
        at += 12 + length


def _is_sound(chunk: _Chunk, data: Bytes) -> bool:
    stated = int.from_bytes(data[chunk.end - 4 : chunk.end].tobytes(), "big")
    return zlib.crc32(chunk.body.tobytes(), zlib.crc32(chunk.name)) == stated


def _pass_hw(height: int, width: int, top: int, left: int, down: int, right: int) -> tuple[int, int]:
    return max(-(-(height - top) // down), 0), max(-(-(width - left) // right), 0)


def _inflate(compressed: bytes, *, most: int) -> tuple[bytes, bool]:
    """Return up to `most` bytes of what `compressed` holds before it ends or is damaged, and whether it is."""
    found: list[bytes] = []
    stream, length = zlib.decompressobj(), 0
    for at in range(0, len(compressed), _PIECE_BYTES):
        try:
            part = stream.decompress(compressed[at : at + _PIECE_BYTES], most - length)
        except zlib.error:
            return b"".join(found), True
        found.append(part)
        length += len(part)
        if length >= most:
            break
    return b"".join(found), False


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
