"""Decodes pictures to arrays with OpenCV, after checking that they are complete."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.codecs import jpeg, png, tiff, webp
from metric3d_ros.codecs.recognition import BMP, JPEG, PNG, PNM, TIFF, WEBP, picture_size, recognise_in_file
from metric3d_ros.errors import ImageError
from metric3d_ros.out_of_memory import is_out_of_memory, needing_memory

Bytes = NDArray[np.uint8]

MAX_PIXELS = 1 << 26
"""Of a picture or an image message, 67 million: larger than those of any camera, and at most some 2 GB of memory."""

# Of a progressive JPEG: nine for its coefficients and its pixels, and some for the tables.
_MOST_BYTES_PER_PIXEL = 10
_SMALLER_PICTURES = "take smaller pictures, or give it more memory"

AS_STORED = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION


def decode_picture(
    data: Bytes, *, what: str, remedy: str, flags: int = AS_STORED, max_pixels: int = MAX_PIXELS
) -> NDArray[Any]:
    """Decode the (N,) bytes of a picture to (H, W) gray or (H, W, 3) BGR, of the depth it has.

    It is a JPEG, PNG, TIFF, WebP, BMP or PNM, whatever its name says.

    A picture ends where its format defines it: bytes after it, such as a phone's video or a trailer, are ignored, and a
    missing end mark is no fault. EXIF orientation is not applied, because intrinsics belong to the pixels as they lie
    in the file.

    Args:
        what: names the picture in errors.
        remedy: what to do about a picture that is not whole; ends such an error.
        flags: OpenCV's, for another form of the result.
        max_pixels: larger pictures are refused before memory for their pixels is taken.

    Raises ImageError when the data are of another kind, damaged, too large, or truncated, with how many rows are
    missing; OutOfMemoryError when memory does not suffice for one that may be whole.
    """
    height, width = picture_size(data, what=what, remedy=remedy)
    if height < 1 or width < 1:
        raise ImageError(f"{what} is {width} x {height} pixels by its header, expected at least 1 x 1")
    if height * width > max_pixels:
        raise ImageError(
            f"{what} is {width} x {height} pixels, expected at most {max_pixels} pixels: "
            "lower the camera's resolution or raise the limit"
        )
    kind = recognise_in_file(data)
    with needing_memory(f"decoding {what} of {width}x{height}", remedy=_SMALLER_PICTURES):
        picture = _decode_kind(kind, data, flags, what=what, remedy=remedy)
        if picture is None:
            # Decoders of progressive JPEG and of WebP do not tell why they gave up: was there memory for one?
            np.empty(height * width * _MOST_BYTES_PER_PIXEL, np.uint8)
    if picture is None:
        raise ImageError(f"{what} is a {kind} of {len(data)} bytes that cannot be decoded: it is damaged; {remedy}")
    if picture.shape[:2] != (height, width):
        raise ImageError(
            f"{what} decodes to {picture.shape[1]} x {picture.shape[0]} pixels, expected {width} x {height} "
            "as in its header: it is damaged"
        )
    return picture


def _decode_kind(kind: str, data: Bytes, flags: int, *, what: str, remedy: str) -> NDArray[Any] | None:
    if kind == JPEG:
        return _decode_jpeg(data, flags, what=what, remedy=remedy)
    if kind == PNG:
        return _decode_png(data, flags, what=what, remedy=remedy)
    if kind == TIFF:
        return _decode_tiff(data, flags, what=what, remedy=remedy)
    if kind == WEBP:
        return _decode(webp.with_end(data, what=what, remedy=remedy), flags)
    assert kind in (BMP, PNM), "picture_size knows no other"
    return _decode(data, flags)


def _decode_jpeg(data: Bytes, flags: int, *, what: str, remedy: str) -> NDArray[Any] | None:
    layout = jpeg.read_layout(data, what=what)
    assert layout.frame is not None, "its size has been read"
    if not layout.scans:
        height = layout.frame.size_hw[0]
        raise ImageError(f"{what} is truncated: {height} of its {height} rows are missing; {remedy}")
    picture = _decode(jpeg.with_end(data, layout), flags)
    if picture is None or picture.shape[:2] != layout.frame.size_hw:
        return picture
    loss = jpeg.explain_loss(data, layout, picture, lambda whole: _decode(whole, flags))
    if loss:
        raise ImageError(f"{what} is truncated: {loss}; {remedy}")
    return picture


def _decode_png(data: Bytes, flags: int, *, what: str, remedy: str) -> NDArray[Any] | None:
    end = png.find_end(data)
    if end is None:
        return _decode(png.mend(data, what=what, remedy=remedy), flags)
    picture = _decode(data[:end], flags)
    if picture is None:
        png.check_rows(data[:end], what=what, remedy=remedy)
    return picture


def _decode_tiff(data: Bytes, flags: int, *, what: str, remedy: str) -> NDArray[Any] | None:
    directory = tiff.read_directory(data, what=what, remedy=remedy)
    missing = tiff.count_missing_rows(data, directory)
    if missing:
        height = tiff.read_size(directory)[0]
        raise ImageError(f"{what} is truncated: {missing} of its {height} rows are missing; {remedy}")
    return _decode(tiff.unturned(data, directory), flags)


def _decode(data: Bytes, flags: int) -> NDArray[Any] | None:
    try:
        picture = cv2.imdecode(data, flags)
    except cv2.error as error:
        if is_out_of_memory(error):
            raise
        return None
    return None if picture is None else np.asarray(picture)
