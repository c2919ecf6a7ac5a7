"""Images, CompressedImages and CameraInfos that are built right and then made to lie, each from its own seed."""

from __future__ import annotations

import array
import random

import cv2
import numpy as np
from mutations import damage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from metric3d_ros.messages import COLOUR_ENCODINGS
from metric3d_ros.messages.encodings import find_encoding

_OTHER_ENCODINGS = ("32FC1", "64FC4", "16SC1", "", "rgb", "8UC5", "bayer", "mono\u00e8", "RGB8", "yuv422")
_LENSES = ("plumb_bob", "rational_polynomial", "equidistant", "fisheye", "thin_prism", "", "kannala", "none")
_FORMATS = (
    "jpeg",
    "png",
    "rgb8; jpeg compressed bgr8",
    "bayer_rggb8; png compressed",
    "16UC1; compressedDepth",
    "tiff",
)
_SIZES = (0, 1, 27, 28, 100, 2**16, 2**31, 2**32 - 1)
_NUMBERS = (0.0, -0.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"), -1.0)
_MOST_LIES = 3


def _picture_files() -> list[bytes]:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    wide = picture[..., 0].astype(np.uint16) * 257
    encoded = [
        cv2.imencode(".jpg", picture),
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        cv2.imencode(".jpg", picture[..., 0], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
        cv2.imencode(".png", picture),
        cv2.imencode(".png", wide),
        cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA)),
        cv2.imencode(".tiff", picture),
        cv2.imencode(".tiff", wide),
        cv2.imencode(".webp", picture),
    ]
    return [data.tobytes() for _, data in encoded]


PICTURE_FILES = _picture_files()


def hostile_image(rng: random.Random) -> Image:
    """Return an image of any encoding that is right but for up to three fields that lie."""
    encoding = find_encoding(rng.choice(COLOUR_ENCODINGS))
    height, width = 2 * rng.randint(14, 32), 2 * rng.randint(14, 32)
    step = encoding.row_bytes(width) + rng.choice((0, 0, 1, 7))
    size = step * encoding.rows(height)
    image = Image(header=_header(rng), height=height, width=width, encoding=encoding.name, step=step)
    image.is_bigendian = rng.choice((0, 0, 1, 255))
    for field in _lies(rng, ("height", "width", "encoding", "step", "size")):
        if field == "size":
            size = rng.choice((0, size - 1, size + 1, rng.randint(0, 2 * size)))
        elif field == "encoding":
            image.encoding = rng.choice((*COLOUR_ENCODINGS, *_OTHER_ENCODINGS))
        else:
            setattr(image, field, _size(rng))
    # A piece over and over is faster than as many random bytes.
    piece = rng.randbytes(rng.choice((1, 16, 997)))
    image.data = array.array("B", (piece * (size // len(piece) + 1))[:size])
    return image


def hostile_compressed_image(rng: random.Random) -> CompressedImage:
    """Return a picture file that is right or damaged, under a right or a wrong name of its format."""
    data = rng.choice(PICTURE_FILES)
    data = damage(data, rng) if rng.random() < 0.9 else data
    return CompressedImage(header=_header(rng), format=rng.choice(_FORMATS), data=array.array("B", data))


def hostile_camera_info(rng: random.Random, image: Image | None = None) -> CameraInfo:
    """Return the camera of an image, or of some image, that is right but for up to three groups of fields that lie."""
    width, height = (image.width, image.height) if image is not None else (50, 40)
    k = [rng.uniform(20, 2000), 0.0, width / 2, 0.0, rng.uniform(20, 2000), height / 2, 0.0, 0.0, 1.0]
    info = CameraInfo(header=image.header if image is not None else _header(rng), height=height, width=width)
    for group in _lies(rng, ("header", "size", "lens", "k", "p", "r", "binning", "roi")):
        if group == "header":
            info.header = _header(rng)
        elif group == "size":
            info.height, info.width = _size(rng), _size(rng)
        elif group == "lens":
            info.distortion_model = rng.choice(_LENSES)
            info.d = array.array("d", [_number(rng, 0.5) for _ in range(rng.randint(0, 15))])
        elif group == "k":
            k[rng.randrange(9)] = _number(rng, 2000.0)
        elif group == "p":
            info.p = np.array([_number(rng, 2000.0) for _ in range(12)])
        elif group == "r":
            info.r = np.array([_number(rng, 1.0) for _ in range(9)])
        elif group == "binning":
            info.binning_x, info.binning_y = rng.choice(_SIZES), rng.choice(_SIZES)
        else:
            info.roi = RegionOfInterest(
                x_offset=_size(rng),
                y_offset=_size(rng),
                height=_size(rng),
                width=_size(rng),
                do_rectify=rng.random() < 0.5,
            )
    info.k = np.array(k)
    return info


def _header(rng: random.Random) -> Header:
    header = Header(frame_id=rng.choice(("camera", "camera", "", "/camera", "other", "\u00fc" * 300, "a b\n")))
    header.stamp.sec = rng.choice((5, 5, 0, -(2**31), 2**31 - 1, rng.randint(-(2**31), 2**31 - 1)))
    header.stamp.nanosec = rng.choice((0, 0, 10**9, 2**32 - 1, rng.randint(0, 2**32 - 1)))
    return header


def _lies(rng: random.Random, fields: tuple[str, ...]) -> list[str]:
    return rng.sample(fields, rng.choice((0, 1, 1, 2, _MOST_LIES)))


def _size(rng: random.Random) -> int:
    return rng.choice((*_SIZES, rng.randint(0, 100), rng.randint(0, 2**32 - 1)))


def _number(rng: random.Random, most: float) -> float:
    return rng.choice((*_NUMBERS, *(rng.uniform(-most, most) for _ in range(len(_NUMBERS)))))
