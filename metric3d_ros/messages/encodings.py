"""The table of image encodings: the memory layout of each, and its conversion to RGB."""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import MessageError

Bytes = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """How one encoding lays out an image of height H and width W.

    Its array is (H, W) for one channel, else (H, W, channels). The planar YUV kinds stack their planes below each
    other and have one channel: (H * 3 / 2, W) for 4:2:0, (H * 3, W) for 4:4:4.
    """

    name: str
    dtype: np.dtype[Any]
    """Of one sample, in native byte order."""
    channels: int
    to_rgb: Callable[[Bytes], Bytes] | None
    """Maps the array, already scaled to 8 bits, to (H, W, 3) RGB; None if the encoding is no colour picture."""
    rows_per_2: int = 2
    """Rows of the array for every two rows of the image."""
    multiple_hw: tuple[int, int] = (1, 1)
    """Height and width must be multiples of these."""
    least_hw: tuple[int, int] = (1, 1)

    def rows(self, height: int) -> int:
        """Return how many rows of `step` bytes an image of `height` has."""
        return height * self.rows_per_2 // 2

    def row_bytes(self, width: int) -> int:
        """Return how many bytes of a row are pixels; `step` is at least this."""
        return width * self.channels * self.dtype.itemsize


@functools.cache
def find_encoding(name: str) -> Encoding:
    """Return the encoding that sensor_msgs/Image calls `name`.

    Raises MessageError when it is unknown, listing those that are known.
    """
    found = _TABLE.get(name)
    if found is not None:
        return found
    generic = _GENERIC.fullmatch(name)
    if generic is not None:
        kind, channels = generic[1], int(generic[2] or 1)
        return Encoding(name=name, dtype=_GENERIC_TYPES[kind], channels=channels, to_rgb=None)
    raise MessageError(
        f"the image's encoding is {name[:40]!r}, expected one of {', '.join(_TABLE)} or a plain matrix such as 32FC1: "
        "choose another pixel format in the camera driver"
    )


def _convert(code: int) -> Callable[[Bytes], Bytes]:
    def to_rgb(array: Bytes) -> Bytes:
        return np.asarray(cv2.cvtColor(array, code), dtype=np.uint8)

    return to_rgb


def _same(array: Bytes) -> Bytes:
    return np.ascontiguousarray(array)


# BT.601, 16..235, what cv2 applies to the other YUV kinds. Rows: R, G, B of Y, U, V, 1.
_LUMA, _RED_V, _GREEN_U, _GREEN_V, _BLUE_U = 1.164, 1.596, -0.391, -0.813, 2.018
_YUV_TO_RGB = np.array(
    [
        [_LUMA, 0.0, _RED_V, -16 * _LUMA - 128 * _RED_V],
        [_LUMA, _GREEN_U, _GREEN_V, -16 * _LUMA - 128 * (_GREEN_U + _GREEN_V)],
        [_LUMA, _BLUE_U, 0.0, -16 * _LUMA - 128 * _BLUE_U],
    ]
)


def _nv24_to_rgb(array: Bytes) -> Bytes:
    height, width = array.shape[0] // 3, array.shape[1]
    chroma = np.ascontiguousarray(array[height:]).reshape(height, width, 2)
    yuv = np.empty((height, width, 3), np.uint8)
    for channel, plane in enumerate((array[:height], chroma[..., 0], chroma[..., 1])):
        yuv[..., channel] = plane
    return np.asarray(cv2.transform(yuv, _YUV_TO_RGB), dtype=np.uint8)


_U8, _U16 = np.dtype(np.uint8), np.dtype(np.uint16)
_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)C([1-4])?")
_GENERIC_TYPES: dict[str, np.dtype[Any]] = {
    "8U": _U8,
    "8S": np.dtype(np.int8),
    "16U": _U16,
    "16S": np.dtype(np.int16),
    "32S": np.dtype(np.int32),
    "32F": np.dtype(np.float32),
    "64F": np.dtype(np.float64),
}


def _build_table() -> dict[str, Encoding]:
    gray, bgr = _convert(cv2.COLOR_GRAY2RGB), _convert(cv2.COLOR_BGR2RGB)
    rgba, bgra = _convert(cv2.COLOR_RGBA2RGB), _convert(cv2.COLOR_BGRA2RGB)
    colours = {"mono": (1, gray), "rgb": (3, _same), "bgr": (3, bgr), "rgba": (4, rgba), "bgra": (4, bgra)}
    # OpenCV names a mosaic by its second row, from the second column; ROS by its first two rows.
    mosaics = {
        "rggb": cv2.COLOR_BayerBG2RGB,
        "bggr": cv2.COLOR_BayerRG2RGB,
        "gbrg": cv2.COLOR_BayerGR2RGB,
        "grbg": cv2.COLOR_BayerGB2RGB,
    }
    uyvy, yuyv = _convert(cv2.COLOR_YUV2RGB_UYVY), _convert(cv2.COLOR_YUV2RGB_YUY2)
    nv12, nv21 = _convert(cv2.COLOR_YUV2RGB_NV12), _convert(cv2.COLOR_YUV2RGB_NV21)

    kinds: list[Encoding] = []
    for bits, dtype in ((8, _U8), (16, _U16)):
        kinds += [
            Encoding(name=f"{name}{bits}", dtype=dtype, channels=channels, to_rgb=to_rgb)
            for name, (channels, to_rgb) in colours.items()
        ]
        kinds += [
            Encoding(name=f"bayer_{name}{bits}", dtype=dtype, channels=1, to_rgb=_convert(code), least_hw=(3, 3))
            for name, code in mosaics.items()
        ]
    kinds += [
        Encoding(name=name, dtype=_U8, channels=2, to_rgb=to_rgb, multiple_hw=(1, 2))
        for name, to_rgb in (("uyvy", uyvy), ("yuv422", uyvy), ("yuyv", yuyv), ("yuv422_yuy2", yuyv))
    ]
    kinds += [
        Encoding(name=name, dtype=_U8, channels=1, to_rgb=to_rgb, rows_per_2=3, multiple_hw=(2, 2))
        for name, to_rgb in (("nv12", nv12), ("nv21", nv21))
    ]
    kinds.append(Encoding(name="nv24", dtype=_U8, channels=1, to_rgb=_nv24_to_rgb, rows_per_2=6))
    # A plain matrix is a picture in OpenCV's channel order, except 16UC1, which is nearly always depth.
    kinds += [
        Encoding(name=name, dtype=dtype, channels=channels, to_rgb=to_rgb)
        for name, dtype, channels, to_rgb in (
            ("8UC1", _U8, 1, gray),
            ("8UC3", _U8, 3, bgr),
            ("8UC4", _U8, 4, bgra),
            ("16UC3", _U16, 3, bgr),
            ("16UC4", _U16, 4, bgra),
        )
    ]
    return {kind.name: kind for kind in kinds}


_TABLE = _build_table()

COLOUR_ENCODINGS = tuple(_TABLE)
"""Names of every encoding that `image_to_rgb` understands."""
