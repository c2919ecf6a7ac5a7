"""sensor_msgs/CompressedImage (JPEG, PNG) to RGB; the picture's size is read from its header before it is decoded."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import MessageError
from metric3d_ros.messages.buffers import view_bytes
from metric3d_ros.messages.encodings import find_encoding, to_8_bit
from metric3d_ros.messages.images import MAX_PIXELS

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8\xff", b"\xff\xda", b"\xff\xd9"
_MAX_SCANS = 100
# Start-of-frame markers; C4, C8 and CC in between are tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""


def compressed_to_rgb(message: Any, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a CompressedImage that holds a JPEG or a PNG to (H, W, 3) uint8 RGB.

    What the data are is read from the data; `format` only matters when it names a Bayer encoding and the picture is
    gray: then the picture is the mosaic, as image_transport sends it. EXIF orientation is not applied, because the
    camera_info describes the picture as it lies in memory. 16-bit PNGs are scaled linearly, alpha is dropped.

    Raises MessageError when the data are neither, damaged, cut short, or larger than `max_pixels`: before the pixels'
    memory is allocated.
    """
    data = view_bytes(message.data, what="the compressed image")
    picture = decode_picture(data, max_pixels=max_pixels)
    if picture.dtype == np.uint16:
        picture = to_8_bit(picture)
    if picture.ndim == 3:
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    original = str(message.format).split(";")[0].strip()
    mosaic = original.startswith("bayer_") and original.endswith(("8", "16"))
    to_rgb = find_encoding(original if mosaic else "mono8").to_rgb
    if to_rgb is None or min(picture.shape) < 3:
        return np.dstack([picture] * 3)
    return to_rgb(picture)


def decode_picture(data: NDArray[np.uint8], *, max_pixels: int) -> NDArray[Any]:
    """Decode the (N,) bytes of a JPEG or PNG file to (H, W) gray or (H, W, 3) BGR, uint8 or uint16.

    Raises MessageError as `compressed_to_rgb` does.
    """
    height, width = read_picture_size(data)
    if height < 1 or width < 1:
        raise MessageError(f"the compressed image says it is {width} x {height} pixels, expected at least 1 x 1")
    if height * width > max_pixels:
        raise MessageError(
            f"the compressed image is {width} x {height} pixels, expected at most {max_pixels} pixels: "
            "lower the camera's resolution or raise the limit"
        )
    if data[0] == _JPEG_START[0]:
        _check_jpeg(data)
    else:
        _check_png(data)
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise MessageError(f"the compressed image cannot be decoded: {error.err}") from error
    if picture is None:
        raise MessageError(f"the compressed image ({data.size} bytes) is damaged: it cannot be decoded")
    if picture.shape[:2] != (height, width):
        raise MessageError(
            f"the compressed image decodes to {picture.shape[1]} x {picture.shape[0]} pixels, "
            f"its header says {width} x {height}: it is damaged"
        )
    return np.asarray(picture)


def read_picture_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """Return (height, width) as the header of a JPEG or PNG states it, without decoding anything.

    Raises MessageError when the data are neither or end before the size.
    """
    start = data[:24].tobytes()
    if start.startswith(_PNG_START):
        if len(start) < 24 or start[12:16] != b"IHDR":
            raise MessageError("the compressed image is a PNG without a header: it is damaged or cut short")
        return int.from_bytes(start[20:24], "big"), int.from_bytes(start[16:20], "big")
    if start.startswith(_JPEG_START):
        return _read_jpeg_size(data)
    raise MessageError(
        f"the compressed image starts with {start[:4].hex(' ')}, expected a JPEG (ff d8 ff) or PNG (89 50 4e 47): "
        "subscribe to a topic of image_transport's compressed plugin"
    )


def _read_jpeg_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """Walk the marker segments up to the start of the frame (ITU-T T.81, annex B)."""
    at = 2
    while at + 4 <= data.size:
        if data[at] != 0xFF:
            break
        marker = int(data[at + 1])
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _JPEG_BARE:
            at += 2
            continue
        length = int(data[at + 2]) << 8 | int(data[at + 3])
        if marker in _JPEG_FRAMES:
            size = data[at + 5 : at + 9].tobytes()
            if len(size) < 4:
                break
            return int.from_bytes(size[:2], "big"), int.from_bytes(size[2:], "big")
        at += 2 + max(length, 2)
    raise MessageError(
        f"the compressed image is a JPEG of {data.size} bytes without a frame: it is damaged or cut short"
    )


def _check_jpeg(data: NDArray[np.uint8]) -> None:
    """Raise MessageError for a JPEG that is cut short, or whose decoding would take minutes.

    Decoders fill up what is missing with gray and call it success. Some cameras pad their frames, with zeros up to a
    fixed length or with a few other bytes, so the end mark need not be the last bytes. Each of a progressive picture's
    scans may pass over all pixels; encoders write some ten.
    """
    content = data.tobytes()
    if _JPEG_END not in content.rstrip(b"\0")[-4096:]:
        raise MessageError(
            f"the compressed image ({data.size} bytes) has no end mark: it was cut short on its way or by its publisher"
        )
    scans = content.count(_JPEG_SCAN)
    if scans > _MAX_SCANS:
        raise MessageError(f"the compressed image has {scans} scans, expected at most {_MAX_SCANS}: it is damaged")


def _check_png(data: NDArray[np.uint8]) -> None:
    """Raise MessageError unless the chunks fit the data one after the other up to the end mark.

    OpenCV's reader allocates what a chunk says it needs (up to 2 GB) before it looks whether the data hold as much.
    """
    at = len(_PNG_START)
    while at + 12 <= data.size:
        head = data[at : at + 8].tobytes()
        if head[4:] == b"IEND":
            return
        at += 12 + int.from_bytes(head[:4], "big")
    raise MessageError(
        f"the compressed image ({data.size} bytes) has no end mark: it was cut short on its way or by its publisher"
    )
