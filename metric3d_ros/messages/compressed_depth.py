"""Depth as image_transport's compressedDepth plugin sends it: a 12-byte header and a 16-bit PNG.

The header is an int32 and two float32, little-endian: the format (0, inverse depth) and the quantisation values A, B.
16UC1 holds millimetres as they are; 32FC1 holds q = A / depth + B, truncated, so depth = A / (q - B); 0 is invalid
(compressed_depth_image_transport, codec.cpp).
"""

import array
import struct
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.codecs import MAX_PIXELS
from metric3d_ros.errors import MessageError
from metric3d_ros.messages.buffers import view_bytes
from metric3d_ros.messages.compressed import decode_picture
from metric3d_ros.messages.images import depth_to_millimetres, millimetres_to_depth

_HEADER = struct.Struct("<iff")
_INVERSE_DEPTH = 0
_PNG_START, _UP_FILTER = b"\x89PNG\r\n\x1a\n", 2
_ENCODINGS = ("16UC1", "32FC1")

DEFAULT_MAX_DEPTH_M = 10.0
DEFAULT_QUANTIZATION = 100.0
"""The plugin's own defaults: with both, depth is stored from 0.152 to 10 m, in steps of 0.1 mm at 1 m, 1 cm at 10 m."""


def depth_to_compressed_depth(
    depth_m: NDArray[np.float32],
    *,
    header: Any,
    sensor_msgs: Any,
    encoding: Literal["32FC1", "16UC1"] = "16UC1",
    max_depth_m: float = DEFAULT_MAX_DEPTH_M,
    quantization: float = DEFAULT_QUANTIZATION,
    png_level: int = 1,
) -> Any:
    """Build the CompressedImage for (H, W) metres of depth that any compressedDepth subscriber decodes.

    Depth that is invalid, beyond `max_depth_m` (as 32FC1: at it too), or too near to be stored becomes 0, which decodes
    to invalid.
    `png_level` is zlib's, 0 to 9; the plugin's default, 9, takes many times as long as 1 for little less data.

    Raises MessageError when the encoding is another one.
    """
    if encoding not in _ENCODINGS:
        raise MessageError(f"the compressed depth's encoding is {encoding!r}, expected {' or '.join(_ENCODINGS)}")
    if encoding == "16UC1":
        quantised = depth_to_millimetres(depth_m, max_depth_m=max_depth_m)
        a = b = 0.0
    else:
        a = quantization * (quantization + 1.0)
        b = 1.0 - a / max_depth_m
        quantised = _quantise(depth_m, a=np.float32(a), b=np.float32(b), max_depth_m=max_depth_m)
    data = array.array("B", _HEADER.pack(_INVERSE_DEPTH, a, b))
    data.frombytes(_encode_png(quantised, level=png_level))
    return sensor_msgs.CompressedImage(header=header, format=f"{encoding}; compressedDepth png", data=data)


def compressed_depth_to_depth(message: Any, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.float32]:
    """Read a compressedDepth message as (H, W) float32 metres, NaN where invalid.

    Raises MessageError when the format is not 16UC1 or 32FC1 in PNG (RVL is not read), or the data are damaged.
    """
    text = str(message.format)
    encoding, _, transport = (part.strip() for part in text.partition(";"))
    known = encoding in (*_ENCODINGS, "mono16") and transport in ("", "compressedDepth", "compressedDepth png")
    if not known:
        raise MessageError(
            f"the compressed depth's format is {text[:60]!r}, expected '16UC1; compressedDepth png' or "
            "'32FC1; compressedDepth png': set the publisher's compressedDepth format to png"
        )
    data = view_bytes(message.data, what="the compressed depth image")
    if data.size <= _HEADER.size:
        raise MessageError(
            f"the compressed depth image has {data.size} bytes, expected a {_HEADER.size}-byte header and a PNG"
        )
    _, a, b = _HEADER.unpack(data[: _HEADER.size].tobytes())
    quantised = decode_picture(data[_HEADER.size :], max_pixels=max_pixels)
    if quantised.dtype != np.uint16 or quantised.ndim != 2:
        raise MessageError(
            f"the compressed depth decodes to {quantised.dtype} {quantised.shape}, expected uint16 (height, width)"
        )
    if encoding != "32FC1":
        return millimetres_to_depth(quantised)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        depth_m = np.float32(a) / (quantised - np.float32(b))
    return np.where((quantised > 0) & np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(np.nan))


def _encode_png(gray: NDArray[np.uint16], *, level: int) -> bytes:
    """Write (H, W) as a 16-bit gray PNG (ISO/IEC 15948), each row as its difference from the one above.

    OpenCV's writer cannot be told that filter and takes 1.8 times as long for a tenth more data (1080p, level 1).
    """
    height, width = gray.shape
    rows = gray.astype(">u2", order="C").view(np.uint8)
    filtered = np.empty((height, 1 + 2 * width), np.uint8)
    filtered[:, 0] = _UP_FILTER
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.data, level)), (b"IEND", b""))
    return _PNG_START + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
        for name, body in chunks
    )


def _quantise(depth_m: NDArray[np.float32], *, a: np.float32, b: np.float32, max_depth_m: float) -> NDArray[np.uint16]:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inverse = a / depth_m + b
        usable = (depth_m > 0) & (depth_m < max_depth_m) & (inverse < 65536)
    return np.where(usable, inverse, np.float32(0)).astype(np.uint16)
