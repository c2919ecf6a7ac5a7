"""The headers of BMP (a BITMAPINFOHEADER or its predecessor) and of PNM (netpbm's P1 to P6)."""

import re

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_HEADER_BYTES = 1 << 12
_PNM = re.compile(rb"P[1-6](?:\s|#)")
# Comments may stand between the words.
_PNM_SIZE = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_OLD_BMP_HEADER = 12


def is_bmp(data: Bytes) -> bool:
    """Return whether the data start as a BMP."""
    return data[:2].tobytes() == b"BM"


def is_pnm(data: Bytes) -> bool:
    """Return whether the data start as a PBM, PGM or PPM."""
    return _PNM.match(data[:3].tobytes()) is not None


def read_bmp_size(data: Bytes) -> tuple[int, int] | None:
    """Return (height, width); None if the header is not there. Rows from top to bottom have a negative height."""
    head = data[:26].tobytes()
    if len(head) < 26:
        return None
    if int.from_bytes(head[14:18], "little") == _OLD_BMP_HEADER:
        return int.from_bytes(head[20:22], "little"), int.from_bytes(head[18:20], "little")
    width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (18, 22))
    return abs(height), width


def read_pnm_size(data: Bytes) -> tuple[int, int] | None:
    """Return (height, width); None if the header is not there."""
    found = _PNM_SIZE.match(data[:_HEADER_BYTES].tobytes())
    return None if found is None else (int(found[2]), int(found[1]))
