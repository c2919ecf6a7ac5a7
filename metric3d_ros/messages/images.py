"""sensor_msgs/Image to arrays and back, in every encoding that cameras send."""

import dataclasses
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.codecs import MAX_PIXELS
from metric3d_ros.codecs.sixteen_bits import ToEightBit, to_8_bit
from metric3d_ros.errors import MessageError
from metric3d_ros.messages.buffers import new_bytes, share_bytes, view_bytes
from metric3d_ros.messages.encodings import Encoding, find_encoding

_GREATEST = np.finfo(np.float32).max


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RawImage:
    """An Image message's pixels, and everything needed to rebuild the same message."""

    array: NDArray[Any]
    """(H, W) or (H, W, C); planar YUV: (rows, W). Its dtype has the message's byte order."""
    encoding: str
    is_bigendian: bool = False
    padding: NDArray[np.uint8] | None = None
    """(rows, step - bytes of a row of pixels): what follows each row; None for nothing."""


def image_to_array(message: Any, *, max_pixels: int = MAX_PIXELS) -> RawImage:
    """View an Image message as an array; nothing is copied, so the view lives and changes with the message.

    Raises MessageError when the encoding is unknown, or size, step and length of data contradict each other.
    """
    encoding = find_encoding(str(message.encoding))
    height, width, step = int(message.height), int(message.width), int(message.step)
    _check_size(encoding, height=height, width=width, max_pixels=max_pixels)
    row_bytes, rows = encoding.row_bytes(width), encoding.rows(height)
    if step < row_bytes:
        raise MessageError(
            f"the image's step is {step} bytes, expected at least {row_bytes} for {width} pixels of "
            f"{encoding.name}: the publisher must set step to the bytes of a row"
        )
    data = view_bytes(message.data, what="the image")
    if data.size != step * rows:
        raise MessageError(
            f"the image has {data.size} bytes of data, expected {step * rows} ({rows} rows of step {step}, "
            f"{width} x {height} {encoding.name}): it was truncated, or its publisher states a wrong size"
        )
    is_bigendian = bool(message.is_bigendian)
    dtype = _ordered(encoding.dtype, is_bigendian=is_bigendian)
    return RawImage(
        array=_grid_of_pixels(data, encoding, dtype=dtype, rows=rows, width=width, step=step),
        encoding=encoding.name,
        is_bigendian=is_bigendian,
        padding=data.reshape(rows, step)[:, row_bytes:] if step > row_bytes else None,
    )


def image_to_rgb(message: Any, *, max_pixels: int = MAX_PIXELS, to_8_bit: ToEightBit = to_8_bit) -> NDArray[np.uint8]:
    """Convert an Image message of any colour, gray, Bayer or YUV encoding to (H, W, 3) uint8 RGB.

    The result is contiguous. rgb8 without row padding is a view of the message; everything else is a new array. 16-bit
    samples become 8 bits by `to_8_bit`: linearly, 65535 to 255, by default. Alpha is dropped. YUV is BT.601 with luma
    16..235, as OpenCV reads it.

    Raises MessageError as `image_to_array` does, and for an encoding that is no picture, such as 32FC1.
    """
    raw = image_to_array(message, max_pixels=max_pixels)
    return raw_to_rgb(raw, to_8_bit=to_8_bit)


def raw_to_rgb(raw: RawImage, *, to_8_bit: ToEightBit = to_8_bit) -> NDArray[np.uint8]:
    """Convert an image's pixels to (H, W, 3) uint8 RGB, as `image_to_rgb` does.

    Raises MessageError for an encoding that is no picture.
    """
    to_rgb = find_encoding(raw.encoding).to_rgb
    if to_rgb is None:
        raise MessageError(
            f"the image's encoding is {raw.encoding}, which is not a colour or gray picture: subscribe to the camera's "
            "image, not to depth (a 16-bit gray picture must say mono16)"
        )
    samples = to_8_bit(raw.array) if raw.array.dtype.itemsize == 2 else raw.array
    return to_rgb(samples)


def raw_to_image(raw: RawImage, *, header: Any, sensor_msgs: Any) -> Any:
    """Build the Image message that `raw` describes; the exact inverse of `image_to_array`, padding included.

    An array whose bytes are those of the message becomes its memory: do not write to it afterwards. `header` is used as
    it is. `sensor_msgs` is the module sensor_msgs.msg, or anything with its message classes.

    Raises MessageError when the array does not fit its encoding.
    """
    encoding = find_encoding(raw.encoding)
    rows, width = _rows_and_width(raw.array, encoding)
    height = rows * 2 // encoding.rows_per_2
    _check_size(encoding, height=height, width=width, max_pixels=max(height * width, 1))
    row_bytes = encoding.row_bytes(width)
    step = row_bytes + (0 if raw.padding is None else raw.padding.shape[1])
    message = sensor_msgs.Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding.name,
        is_bigendian=int(raw.is_bigendian),
        step=step,
    )
    dtype = _ordered(encoding.dtype, is_bigendian=raw.is_bigendian)
    if raw.padding is None and raw.array.flags.c_contiguous and raw.array.dtype == dtype:
        share_bytes(message, raw.array)
        return message
    buffer, data = new_bytes(step * rows)
    _grid_of_pixels(data, encoding, dtype=dtype, rows=rows, width=width, step=step)[...] = raw.array
    if raw.padding is not None:
        data.reshape(rows, step)[:, row_bytes:] = raw.padding
    message.data = buffer
    return message


def array_to_image(
    array: NDArray[Any], encoding: str, *, header: Any, sensor_msgs: Any, is_bigendian: bool = False
) -> Any:
    """Build an Image message without row padding from an array in the encoding's own shape and dtype.

    A contiguous array becomes the message's own memory: do not write to it afterwards.
    For example (H, W, 3) uint8 as rgb8, (H, W) float32 as 32FC1, (H, W, 3) float32 as 32FC3. Raises MessageError when
    shape or dtype is not what the encoding has.
    """
    raw = RawImage(array=array, encoding=encoding, is_bigendian=is_bigendian)
    return raw_to_image(raw, header=header, sensor_msgs=sensor_msgs)


def depth_to_image(
    depth_m: NDArray[np.float32],
    *,
    header: Any,
    sensor_msgs: Any,
    encoding: Literal["32FC1", "16UC1"] = "32FC1",
    max_depth_m: float = float("inf"),
    far: Literal["nan", "inf"] = "nan",
) -> Any:
    """Build a depth Image (REP-118) from (H, W) depth in metres along the optical axis.

    32FC1 holds metres; what is not finite and > 0 becomes NaN, never 0, which depth_image_proc would take for a point
    at the camera. Pixels beyond `max_depth_m`, and +Inf, are NaN too, or +Inf with `far="inf"` (REP-117: nothing nearer
    than the sensor's reach). 16UC1 holds millimetres, rounded to nearest; all of these and everything above 65.535 m
    become 0, so nothing wraps around.
    """
    if encoding == "16UC1":
        millimetres = depth_to_millimetres(depth_m, max_depth_m=max_depth_m)
        return array_to_image(millimetres, "16UC1", header=header, sensor_msgs=sensor_msgs)
    metres = clean_depth(depth_m, max_depth_m=max_depth_m, far=far)
    return array_to_image(metres, encoding, header=header, sensor_msgs=sensor_msgs)


def clean_depth(
    depth_m: NDArray[np.float32], *, max_depth_m: float = float("inf"), far: Literal["nan", "inf"] = "nan"
) -> NDArray[np.float32]:
    """Return (H, W) depth in which only valid pixels are finite; `depth_to_image` describes the others.

    The input itself is returned when every pixel is usable.
    """
    with np.errstate(invalid="ignore"):
        # A NaN makes both extremes NaN, and NaN compares false; two reductions need no memory.
        if depth_m.size and depth_m.min() > 0 and depth_m.max() <= min(max_depth_m, _GREATEST):
            return depth_m
        usable = (depth_m > 0) & (depth_m <= max_depth_m) & np.isfinite(depth_m)
        cleaned = np.where(usable, depth_m, np.float32(np.nan))
        if far == "inf":
            np.copyto(cleaned, np.float32(np.inf), where=(depth_m > max_depth_m) | (depth_m == np.inf))
    return cleaned


def depth_to_millimetres(depth_m: NDArray[np.float32], *, max_depth_m: float = float("inf")) -> NDArray[np.uint16]:
    """Convert (H, W) metres to uint16 millimetres, rounded to nearest; 0 where invalid, too far or above 65.535 m."""
    with np.errstate(invalid="ignore", over="ignore"):
        millimetres = np.rint(depth_m * np.float32(1000))
        usable = (depth_m <= max_depth_m) & (millimetres > 0) & (millimetres <= 65535)
    # Out-of-range floats to integers is undefined behaviour, so they are gone before the cast.
    return np.where(usable, millimetres, np.float32(0)).astype(np.uint16)


def image_to_depth(message: Any, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.float32]:
    """Read a depth Image, 32FC1 metres or 16UC1 millimetres, as (H, W) float32 metres; NaN where 16UC1 has 0.

    Raises MessageError as `image_to_array` does, and for any other encoding.
    """
    raw = image_to_array(message, max_pixels=max_pixels)
    if raw.encoding == "32FC1":
        return np.ascontiguousarray(raw.array, dtype=np.float32)
    if raw.encoding in ("16UC1", "mono16"):
        return millimetres_to_depth(raw.array)
    raise MessageError(f"the depth image's encoding is {raw.encoding}, expected 32FC1 (metres) or 16UC1 (millimetres)")


def millimetres_to_depth(millimetres: NDArray[Any]) -> NDArray[np.float32]:
    """Convert (H, W) uint16 millimetres to float32 metres; 0 becomes NaN."""
    return np.where(millimetres > 0, millimetres * np.float32(0.001), np.float32(np.nan)).astype(np.float32)


def _ordered(dtype: np.dtype[Any], *, is_bigendian: bool) -> np.dtype[Any]:
    return dtype.newbyteorder(">" if is_bigendian else "<")


def _grid_of_pixels(
    data: NDArray[np.uint8], encoding: Encoding, *, dtype: np.dtype[Any], rows: int, width: int, step: int
) -> NDArray[Any]:
    """View the bytes of an image as its array; `step` may be any number of bytes, also one that splits a sample."""
    shape: tuple[int, ...] = (rows, width)
    strides: tuple[int, ...] = (step, encoding.channels * dtype.itemsize)
    if encoding.channels > 1:
        shape, strides = (*shape, encoding.channels), (*strides, dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=data, strides=strides)


def _check_size(encoding: Encoding, *, height: int, width: int, max_pixels: int) -> None:
    if height < 1 or width < 1:
        raise MessageError(f"the image is {width} x {height} pixels, expected at least 1 x 1: check its publisher")
    if height * width > max_pixels:
        raise MessageError(
            f"the image is {width} x {height} pixels, expected at most {max_pixels} pixels: "
            "lower the camera's resolution or raise the limit"
        )
    least_h, least_w = encoding.least_hw
    if height < least_h or width < least_w:
        raise MessageError(f"the image is {width} x {height} pixels, {encoding.name} needs {least_w} x {least_h}")
    multiple_h, multiple_w = encoding.multiple_hw
    if height % multiple_h or width % multiple_w:
        raise MessageError(
            f"the image is {width} x {height} pixels, {encoding.name} needs a width that is a multiple of {multiple_w} "
            f"and a height that is a multiple of {multiple_h}: choose another size or pixel format in the driver"
        )


def _rows_and_width(array: NDArray[Any], encoding: Encoding) -> tuple[int, int]:
    trailing = array.shape[2:]
    expected = () if encoding.channels == 1 else (encoding.channels,)
    fits = array.ndim >= 2 and trailing == expected and array.dtype.newbyteorder("=") == encoding.dtype
    if not fits or (array.shape[0] * 2) % encoding.rows_per_2:
        shape = ", ".join(["rows", "width", *map(str, expected)])
        raise MessageError(
            f"the array is {array.dtype} {array.shape}, expected {encoding.dtype} ({shape}) for {encoding.name}"
        )
    return int(array.shape[0]), int(array.shape[1])
