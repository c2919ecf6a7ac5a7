"""Folders of camera images: finding them in natural order, reading and writing them as RGB arrays."""

import glob
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.codecs import decode_picture, describe, recognise_in_file
from metric3d_ros.codecs.sixteen_bits import fit_sample_range, to_8_bit
from metric3d_ros.errors import DataError, ImageError
from metric3d_ros.files.atomic import replacing
from metric3d_ros.files.boundary import one_line_about, read_bytes
from metric3d_ros.files.remote import matching_paths, path_of
from metric3d_ros.out_of_memory import needing_memory

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})

DEPTH_STEM_END = "_depth"
"""The end of a depth image's name before its suffix; such a file is not a camera image."""

_MOST_BYTES = 1 << 29
"""Of an encoded picture and what follows it, such as a phone's video."""

RgbImage = npt.NDArray[np.uint8]

_DIGITS = re.compile(r"(\d+)")


def natural_order(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key under which numbers in the path count as numbers: frame_2 comes before frame_10."""
    parts = _DIGITS.split(str(path))
    return tuple((0, int(part), "") if i % 2 else (1, 0, part.casefold()) for i, part in enumerate(parts))


def list_images(path: str | Path) -> list[Path]:
    """Return the camera images that `path` names, in natural order.

    `path` is one image, a folder (not searched deeper), or a shell pattern such as "run/*_rgb.png"; or the URL of one
    of these. Files are told by their suffix (`IMAGE_SUFFIXES`, any case); hidden files and depth images (`*_depth.*`)
    of a folder are left out.

    Raises DataError if there is no such file, folder or match, or nothing in it is an image.
    """
    path = path_of(path)
    if path.is_file():
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(
                f"{path} is no image by its suffix; expected one of {_suffixes()}, a folder of them, or a pattern"
            )
        return [path]
    if path.is_dir():
        candidates = [entry for entry in path.iterdir() if not entry.stem.endswith(DEPTH_STEM_END)]
    elif glob.has_magic(str(path)):
        candidates = matching_paths(path)
    else:
        raise DataError(f"there is no file or folder {path}; expected an image, a folder of images, or a pattern")
    images = [
        entry
        for entry in candidates
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".") and entry.is_file()
    ]
    if not images:
        raise DataError(f"{path} holds no image; expected at least one file ending in {_suffixes()}")
    return sorted(images, key=natural_order)


def read_rgb(path: str | Path) -> RgbImage:
    """Read an image as it is stored: (H, W, 3) uint8, RGB.

    An EXIF orientation is not applied: the intrinsics belong to the pixels as the sensor wrote them. Grey images get
    three equal channels, and transparency is dropped. 16-bit samples become 8 bits over the range that fits the image,
    as with the node's `sixteen_bit_range: auto`, but for each file on its own.

    Raises ImageError if the file is missing, empty, truncated or no image.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = decode_image(path, flags | cv2.IMREAD_ANYDEPTH)
    if image.dtype == np.uint16:
        image = to_8_bit(image, fit_sample_range(image))
    elif image.dtype != np.uint8:
        image = decode_image(path, flags)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def write_rgb(path: str | Path, rgb: RgbImage) -> None:
    """Write (H, W, 3) uint8 RGB in the format that the suffix names, making the folder if need be.

    Raises ImageError if the array has another shape or type, or the suffix names no format.
    """
    path = Path(path)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ImageError(f"{path}: cannot write an array of {rgb.dtype} {rgb.shape}; expected uint8 (H, W, 3)")
    encode_image(path, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def decode_image(path: str | Path, flags: int) -> npt.NDArray[Any]:
    """Decode an image file with OpenCV's `flags`; channels come in OpenCV's order (BGR).

    Bytes after the picture, such as a phone's video, are ignored; a missing end mark is accepted.

    Raises ImageError if the file is missing, empty, truncated, no image, or larger than any camera's.
    """
    path = path_of(path)
    data = read_bytes(path, most_bytes=_MOST_BYTES, error=ImageError, remedy="expected an image file")
    if not data:
        raise ImageError(f"{path} is empty (0 bytes); expected an image: copy or record it again")
    encoded = np.frombuffer(data, np.uint8)
    if not recognise_in_file(encoded):
        raise ImageError(f"{path} is no image that can be decoded: {describe(encoded)}, expected one of {_suffixes()}")
    with one_line_about(path, ImageError, what="image", remedy="copy or record it again"):
        return decode_picture(encoded, what=str(path), remedy="copy or record it again", flags=flags)


def encode_image(path: Path, image: npt.NDArray[Any]) -> None:
    """Encode an array in OpenCV's channel order (BGR, or one channel) by the path's suffix and write it."""
    try:
        with needing_memory(f"writing {path}", remedy="write smaller images, or give it more memory"):
            done, data = cv2.imencode(path.suffix.lower(), image)
    except cv2.error as error:
        raise ImageError(
            f"{path}: cannot write this kind of file ({error.err}); expected one of {_suffixes()}"
        ) from error
    if not done:
        raise ImageError(f"{path}: {image.dtype} {image.shape} does not fit this kind of file; use .png")
    with replacing(path) as file:
        file.write(data.tobytes())


def _suffixes() -> str:
    return " ".join(sorted(IMAGE_SUFFIXES))
