"""Recognises encoded pictures by their first bytes, regardless of file names and messages."""

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.codecs import jpeg, plain, png, tiff, webp
from metric3d_ros.errors import ImageError

Bytes = NDArray[np.uint8]

JPEG, PNG, TIFF, WEBP = "JPEG", "PNG", "TIFF", "WebP"
BMP, PNM = "BMP", "PNM"
"""Uncompressed pixels with a header; in files only."""
UNDERSTOOD = f"{JPEG}, {PNG}, {TIFF} or {WEBP}"

_OTHERS = (
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance picture"),
    (0, b"PF", "a PFM"),
    (0, b"Pf", "a PFM"),
    (0, b"P7", "a PAM"),
    (0, b"qoif", "a QOI picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftyp", "a video (MP4)"),
    (0, b"\0\0\0\x01", "a video (H.264 or H.265)"),
    (0, b"\0\0\x01", "a video (H.264, H.265 or MPEG)"),
    (0, b"\x1a\x45\xdf\xa3", "a video (WebM or Matroska)"),
    (0, b"OggS", "a video (Ogg, as theora)"),
    (12, png.START, "depth as the compressedDepth plugin sends it"),
)
"""Where which bytes stand in pictures that are not decoded here."""


def recognise(data: Bytes) -> str:
    """Return one of JPEG, PNG, TIFF and WEBP; "" for everything else."""
    start = data[:16].tobytes()
    if start.startswith(jpeg.START):
        return JPEG
    if start.startswith(png.START):
        return PNG
    if webp.is_webp(data):
        return WEBP
    return TIFF if tiff.is_tiff(data) else ""


def recognise_in_file(data: Bytes) -> str:
    """Return what `recognise` returns, or BMP or PNM, which a file may hold too."""
    if plain.is_bmp(data):
        return BMP
    return PNM if plain.is_pnm(data) else recognise(data)


def describe(data: Bytes) -> str:
    """Describe data that `recognise` does not recognise, with their first bytes."""
    start = data[:32].tobytes()
    known = next((name for at, bytes_, name in _OTHERS if start[at:].startswith(bytes_)), "no picture that is known")
    return f"{known} (it starts with {start[:4].hex(' ')})"


def picture_size(data: Bytes, *, what: str, remedy: str) -> tuple[int, int]:
    """Return (height, width) as the header states it, without decoding anything.

    Raises ImageError when the data are of another kind or end before the size; `what` names them, `remedy` is what to
    do about a picture that was cut short.
    """
    kind = recognise_in_file(data)
    size: tuple[int, int] | None
    if kind == JPEG:
        size = jpeg.read_size(data, what=what)
    elif kind == PNG:
        size = png.read_size(data)
    elif kind == WEBP:
        size = webp.read_size(data)
    elif kind == BMP:
        size = plain.read_bmp_size(data)
    elif kind == PNM:
        size = plain.read_pnm_size(data)
    elif kind == TIFF:
        size = tiff.read_size(tiff.read_directory(data, what=what, remedy=remedy))
    else:
        raise ImageError(f"{what} is {describe(data)}, expected {UNDERSTOOD}")
    if size is None:
        raise ImageError(f"{what} is a {kind} of {len(data)} bytes without a header: {remedy}")
    return size
