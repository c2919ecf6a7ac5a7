"""sensor_msgs/CompressedImage (JPEG, PNG, TIFF, WebP) to RGB, read as image_transport's compressed plugin writes it."""

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros import codecs
from metric3d_ros.codecs import MAX_PIXELS
from metric3d_ros.codecs.sixteen_bits import ToEightBit, to_8_bit
from metric3d_ros.errors import ImageError, MessageError
from metric3d_ros.messages.buffers import view_bytes
from metric3d_ros.messages.encodings import COLOUR_ENCODINGS, find_encoding

_WHAT = "the compressed image"
_REMEDY = "it was cut short on its way or by its publisher"
# "<encoding of the raw image>; <codec> compressed <encoding that the codec holds>"
_FORMAT = re.compile(r"\s*([^;]*?)\s*;\s*(\w*)\s*(?:compressed)?\s*(\w*)\s*")
_PLAIN_MATRIX = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)C\d*")
_IN_2012 = ("jpeg", "jpg", "png")
"""Codecs of the plugin's versions that store colours as RGB without stating it."""


@dataclass(frozen=True)
class CompressedFormat:
    """The parts of a CompressedImage's `format`; "" for a missing one."""

    raw: str
    """Encoding of the image that was compressed, such as bayer_rggb8."""
    codec: str
    held: str
    """Encoding of what the codec holds, such as mono8."""

    @property
    def is_depth(self) -> bool:
        """Whether it is for the compressedDepth plugin."""
        return self.codec.lower() == "compresseddepth"

    @property
    def is_rgb_as_bgr(self) -> bool:
        """Whether red and blue are swapped: an RGB array was given to an encoder that takes BGR.

        The plugin's publisher does so with RGB in a TIFF, which it does not convert, and did with all colours until
        2012, when it held RGB and named no such encoding. Its subscriber reads colours without "compressed bgr" so. (It
        reads BGR in a TIFF so too, although its publisher stores that as it is: red and blue come out swapped there.)
        """
        if self.held:
            return self.held.startswith("rgb")
        if self.codec == "tiff":
            return self.raw.startswith("rgb")
        return self.codec in _IN_2012 and self.raw.startswith(("rgb", "bgr"))

    @property
    def mosaic(self) -> str:
        """The Bayer encoding of a picture with one channel; "" if that is a gray picture.

        The plugin holds mosaics as they are in PNG and TIFF, and in JPEG if its parameter jpeg_compress_bayer is set
        or if it is older than 2022; else JPEG holds mono8, interpolated already.
        """
        encoding = self.held or self.raw
        return encoding if encoding.startswith("bayer_") and encoding in COLOUR_ENCODINGS else ""


def parse_format(text: str) -> CompressedFormat:
    """Read the `format` of a CompressedImage; any text is allowed, such as "jpeg"."""
    parts = _FORMAT.fullmatch(text)
    if parts is None:
        return CompressedFormat(text.partition(";")[0].strip(), "", "")
    return CompressedFormat(parts[1], parts[2], parts[3])


def compressed_to_rgb(
    message: Any, *, max_pixels: int = MAX_PIXELS, to_8_bit: ToEightBit = to_8_bit
) -> NDArray[np.uint8]:
    """Decode a CompressedImage that holds a JPEG, PNG, TIFF or WebP to (H, W, 3) uint8 RGB.

    The kind of picture is recognised by the data. `format` decides what the data cannot: whether a gray picture is a
    Bayer mosaic, and whether red and blue are swapped. EXIF orientation is not applied, because the camera_info
    describes the picture as it lies in memory. 16-bit samples become 8 bits by `to_8_bit`, alpha is dropped.

    Raises MessageError if the data are of another kind, damaged, truncated, larger than `max_pixels` (before memory
    for the pixels is allocated), or depth.
    """
    form = check_format(message)
    picture = decode_picture(view_bytes(message.data, what=_WHAT), max_pixels=max_pixels)
    if picture.dtype == np.uint16:
        picture = to_8_bit(picture)
    if picture.dtype != np.uint8:
        raise MessageError(f"{_WHAT} holds {picture.dtype} samples, expected 8 or 16 bits: {_NO_PICTURE_REMEDY}")
    if picture.ndim == 3:
        if form.is_rgb_as_bgr:
            return np.ascontiguousarray(picture[..., :3])
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    to_rgb = find_encoding(form.mosaic or "mono8").to_rgb
    if to_rgb is None or min(picture.shape) < 3:
        return np.dstack([picture] * 3)
    return to_rgb(picture)


_NO_PICTURE_REMEDY = "subscribe to the camera's pictures, not to depth"


def check_format(message: Any) -> CompressedFormat:
    """Parse the message's `format`; MessageError if it names no picture."""
    text = str(message.format)
    form = parse_format(text)
    if form.is_depth:
        raise MessageError(f"{_WHAT}'s format is {text[:60]!r}, which is depth: {_NO_PICTURE_REMEDY}")
    if _PLAIN_MATRIX.fullmatch(form.raw) and form.raw not in COLOUR_ENCODINGS:
        raise MessageError(
            f"{_WHAT}'s format is {text[:60]!r}; {form.raw} is not a colour or gray picture: {_NO_PICTURE_REMEDY} "
            "(a 16-bit gray picture must say mono16)"
        )
    return form


def decode_picture(data: NDArray[np.uint8], *, max_pixels: int) -> NDArray[Any]:
    """Decode the (N,) bytes of a picture to (H, W) gray or (H, W, 3) BGR, of the depth it has.

    Raises MessageError as `compressed_to_rgb` does.
    """
    _check_kind(data)
    try:
        return codecs.decode_picture(data, what=_WHAT, remedy=_REMEDY, max_pixels=max_pixels)
    except ImageError as error:
        raise MessageError(str(error)) from error


def read_picture_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """Return (height, width) as the header of a picture states it, without decoding anything.

    Raises MessageError when the data are of an unknown kind or end before the size.
    """
    _check_kind(data)
    try:
        return codecs.picture_size(data, what=_WHAT, remedy=_REMEDY)
    except ImageError as error:
        raise MessageError(str(error)) from error


def _check_kind(data: NDArray[np.uint8]) -> None:
    if not codecs.recognise(data):
        raise MessageError(
            f"{_WHAT} is {codecs.describe(data)}, expected {codecs.UNDERSTOOD}: set the parameter `format` of the "
            "publisher's compressed plugin to jpeg, png or tiff, or take the raw image"
        )
