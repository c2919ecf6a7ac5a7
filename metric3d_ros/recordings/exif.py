"""What a photograph's EXIF data tell of its camera: orientation and 35 mm focal length (CIPA DC-008)."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path

from metric3d_ros.files.remote import path_of

_FULL_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
_ORIENTATION, _EXIF_IFD, _FOCAL_35MM = 0x0112, 0x8769, 0xA405
_TURNS_DEG = {1: 0, 3: 180, 6: 90, 8: 270}
_MOST_ENTRIES = 512
_MOST_HEAD_BYTES = 1 << 18


@dataclass(frozen=True)
class Exif:
    """What was found; the defaults if a file tells nothing."""

    orientation: int = 1
    """1 to 8, as TIFF has it."""
    focal_35mm_mm: float = 0.0
    """Focal length of a full-frame camera with the same diagonal field of view, millimetres; 0 if unknown."""

    @property
    def rotate_deg(self) -> int | None:
        """Clockwise rotation that makes the picture upright; None if it is mirrored."""
        return _TURNS_DEG.get(self.orientation)

    def focal_px(self, width: int, height: int) -> float:
        """Return the focal length in pixels of an uncropped picture of that size; 0 if unknown."""
        return self.focal_35mm_mm * math.hypot(width, height) / _FULL_FRAME_DIAGONAL_MM


def read_exif(path: str | Path) -> Exif:
    """Read a JPEG's or TIFF's EXIF data; what is missing or damaged counts as not there."""
    try:
        with path_of(path).open("rb") as file:
            head = file.read(_MOST_HEAD_BYTES)
    except OSError:
        return Exif()
    try:
        return _read_tiff(_tiff_of(head))
    except (struct.error, IndexError, ValueError):
        return Exif()


def _tiff_of(head: bytes) -> bytes:
    """Return the TIFF structure within a file's first bytes; empty if there is none."""
    if head[:4] in (b"II*\0", b"MM\0*"):
        return head
    if head[:2] != b"\xff\xd8":
        return b""
    at = 2
    while at + 4 <= len(head) and head[at] == 0xFF and head[at + 1] not in (0xDA, 0xD9):
        length = int.from_bytes(head[at + 2 : at + 4], "big")
        if head[at + 1] == 0xE1 and head[at + 4 : at + 10] == b"Exif\0\0":
            return head[at + 10 : at + 2 + length]
        at += 2 + length
    return b""


def _read_tiff(tiff: bytes) -> Exif:
    if tiff[:2] not in (b"II", b"MM"):
        return Exif()
    order = "<" if tiff[:2] == b"II" else ">"
    first = _entries(tiff, order, struct.unpack_from(order + "I", tiff, 4)[0])
    orientation = int(first.get(_ORIENTATION, 1))
    inner = _entries(tiff, order, int(first[_EXIF_IFD])) if _EXIF_IFD in first else {}
    focal_mm = float(inner.get(_FOCAL_35MM, 0))
    return Exif(orientation if 1 <= orientation <= 8 else 1, focal_mm)


def _entries(tiff: bytes, order: str, offset: int) -> dict[int, int]:
    """Return the single SHORT and LONG values of an image file directory by tag."""
    (count,) = struct.unpack_from(order + "H", tiff, offset)
    values: dict[int, int] = {}
    for i in range(min(count, _MOST_ENTRIES)):
        tag, kind, number = struct.unpack_from(order + "HHI", tiff, offset + 2 + 12 * i)
        if number == 1 and kind in (3, 4):
            (values[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), tiff, offset + 10 + 12 * i)
    return values
