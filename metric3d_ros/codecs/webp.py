"""Finds the end of a WebP and what is missing of a truncated one (RFC 9649)."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ImageError

Bytes = NDArray[np.uint8]

_HEAD_BYTES = 12
_MOST_CHUNKS = 1 << 16
_PICTURES = (b"VP8 ", b"VP8L", b"ANMF")
"""Chunks that hold pixels."""


def is_webp(data: Bytes) -> bool:
    """Return whether the data start as a WebP."""
    return data[:4].tobytes() == b"RIFF" and data[8:12].tobytes() == b"WEBP"


def read_size(data: Bytes) -> tuple[int, int] | None:
    """Return (height, width); None if the header is not there."""
    head = data[:30].tobytes()
    if len(head) < 30:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[27:30], "little"), 1 + int.from_bytes(head[24:27], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[28:30], "little") & 0x3FFF, int.from_bytes(head[26:28], "little") & 0x3FFF
    return None


def with_end(data: Bytes, *, what: str, remedy: str) -> Bytes:
    """Return the picture alone; if only data after the pixels is cut off, a shorter one that ends before it.

    Raises ImageError if pixels are missing. The bytes of a lossy WebP do not reveal their rows.
    """
    stated = 8 + int.from_bytes(data[4:8].tobytes(), "little")
    if stated <= len(data):
        return data[:stated]
    end, has_picture = _HEAD_BYTES, False
    for name, stop in _chunks(data):
        if stop > len(data):
            if not has_picture or name in _PICTURES:
                break
            return _shortened(data, end)
        end, has_picture = stop, has_picture or name in _PICTURES
    if has_picture and end + 8 > len(data):
        return _shortened(data, end)
    raise ImageError(f"{what} is truncated: {stated - len(data)} of its {stated} bytes are missing; {remedy}")


def _shortened(data: Bytes, end: int) -> Bytes:
    whole = data[:end].copy()
    whole[4:8] = np.frombuffer((end - 8).to_bytes(4, "little"), np.uint8)
    return whole


def _chunks(data: Bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the name of each chunk and where it ends, padding included, whether or not all of it is there."""
    at = _HEAD_BYTES
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            return
        head = data[at : at + 8].tobytes()
        length = int.from_bytes(head[4:], "little")
        at += 8 + length + length % 2
        yield head[:4], at
