"""What a pinhole camera in the middle of a panorama sees, exposed as a camera would."""

import importlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ImageError
from metric3d_ros.files.atomic import replacing

_BORDER_PX = 4
"""Columns repeated beyond both ends, so that interpolation goes on around the circle."""
_MIDDLE_GREY, _WHITE = 0.18, 4.0
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709


def read_panorama(path: Path) -> NDArray[np.float32]:
    """Return an equirectangular panorama of linear light, (H, 2 H, 3) float32 RGB, without negative values or NaN.

    Radiance (.hdr) files, and OpenEXR (.exr) files if the Python package OpenEXR is installed. Raises ImageError.
    """
    panorama = _read_exr(path) if path.suffix.lower() == ".exr" else _read_hdr(path)
    height, width = panorama.shape[:2]
    if width != 2 * height:
        raise ImageError(f"{path} has {width} x {height} pixels, expected a panorama twice as wide as high")
    return np.maximum(np.nan_to_num(panorama, nan=0.0, posinf=65504.0, neginf=0.0), 0.0)  # the largest float16


def cut_view(
    panorama: NDArray[np.float32], camera: Camera, *, heading_deg: float, pitch_deg: float = 0.0
) -> NDArray[np.float32]:
    """Return what `camera` sees of a panorama, (height, width, 3) float32 RGB of linear light.

    `heading_deg` turns right from the middle of the panorama, `pitch_deg` up.
    """
    height, width = panorama.shape[:2]
    rays = camera.rays()  # x right, y down, z forward
    pitch = np.radians(pitch_deg)
    up = -rays[..., 1] * np.cos(pitch) + rays[..., 2] * np.sin(pitch)
    forward = rays[..., 1] * np.sin(pitch) + rays[..., 2] * np.cos(pitch)
    longitude = np.arctan2(rays[..., 0], forward) + np.radians(heading_deg)
    latitude = np.arctan2(up, np.hypot(rays[..., 0], forward))
    columns = (longitude / (2 * np.pi) + 0.5) % 1.0 * width - 0.5 + _BORDER_PX
    rows = (0.5 - latitude / np.pi) * height - 0.5
    around = np.concatenate([panorama[:, -_BORDER_PX:], panorama, panorama[:, :_BORDER_PX]], axis=1)
    view = cv2.remap(
        around, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.maximum(np.asarray(view, np.float32), 0.0)  # cubic weights overshoot beside lamps


def expose(view: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a view of linear light as a photograph, uint8 sRGB: its mean is middle grey, and highlights roll off.

    The mean is that of log luminance, and the curve E. Reinhard et al., "Photographic Tone Reproduction for Digital
    Images" (SIGGRAPH 2002), equation 4, here for each channel.
    """
    luminance = view @ _LUMINANCE
    black = max(1e-3 * float(luminance.mean()), 1e-9)  # keeps the logarithm of what is black finite
    light = view * np.float32(_MIDDLE_GREY / np.exp(np.log(luminance + black).mean()))
    light = np.clip(light * (1 + light / _WHITE**2) / (1 + light), 0.0, 1.0)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-6) ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(coded * 255), np.uint8)


def write_jpeg(path: Path, rgb: NDArray[np.uint8], *, quality: int) -> None:
    """Write (H, W, 3) uint8 RGB as a JPEG picture of a quality from 0 to 100, making the folder if need be.

    Raises ImageError if the name ends otherwise, OSError if the file cannot be written.
    """
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        raise ImageError(f"{path} is to be a JPEG picture, expected a name that ends in .jpg")
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    with replacing(path) as file:
        file.write(encoded.tobytes())


def _read_hdr(path: Path) -> NDArray[np.float32]:
    bgr = cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if bgr is None or bgr.dtype != np.float32:
        raise ImageError(f"{path} cannot be read as a Radiance picture: expected a panorama as .hdr or .exr")
    return np.ascontiguousarray(bgr[..., ::-1])


def _read_exr(path: Path) -> NDArray[np.float32]:
    try:
        openexr = importlib.import_module("OpenEXR")
    except ImportError as error:
        raise ImageError(
            f"{path}: OpenEXR files need the Python package OpenEXR: pip install OpenEXR, or convert to .hdr"
        ) from error
    try:
        with openexr.File(str(path)) as file:
            channels = file.channels()
            if "RGB" not in channels:
                raise ImageError(f"{path} has the channels {', '.join(sorted(channels))}, expected R, G and B")
            return np.asarray(channels["RGB"].pixels, np.float32)
    except RuntimeError as error:
        raise ImageError(f"{path} cannot be read as an OpenEXR picture: {error}") from error
