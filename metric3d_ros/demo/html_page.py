"""The demo's HTML page: one self-contained file with every picture, number and point."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ImageError

RgbImage = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

_PANELS_MAX_WIDTH = 1600
_CLOUD_MAX_PIXELS = 22_000
_WEBP_QUALITY = 82


@dataclass(frozen=True)
class Table:
    """A table as text: its heading, its rows, and a remark below it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """One bar per frame: `key` names the frame's number."""

    key: str
    title: str
    note: str


@dataclass(frozen=True)
class PageFrame:
    """One frame, small enough to be one of many in a page; built by `encode_frame`."""

    content: Mapping[str, Any]


def encode_frame(
    *,
    name: str,
    panels: RgbImage,
    rgb: RgbImage,
    depth_m: FloatImage,
    camera: Camera,
    world_from_camera: npt.NDArray[np.float64] | None,
    numbers: Mapping[str, float],
) -> PageFrame:
    """Encode a frame's picture and, at a reduced size, the data of its points.

    Args:
        name: shown beside the slider.
        panels: (h, w, 3), the frame's picture.
        rgb: (H, W, 3), the points' colours.
        depth_m: (H, W) metres; NaN makes no point.
        camera: of `rgb`; the page ignores its lens distortion.
        world_from_camera: (3, 4), z up; None shows the frame's points by themselves.
        numbers: what the page's chart can show.
    """
    step = max(1, math.ceil(math.sqrt(depth_m.size / _CLOUD_MAX_PIXELS)))
    start = step // 2
    picked_m = depth_m[start::step, start::step]
    height, width = picked_m.shape
    farthest_m = float(np.nanmax(picked_m, initial=0.0)) or 1.0
    unit_m = farthest_m / 65535
    with np.errstate(invalid="ignore"):
        units = np.where(np.isfinite(picked_m) & (picked_m > 0), np.rint(picked_m / unit_m), 0).astype(np.uint16)
    # Canvases hold 8 bits a channel: the high byte goes into red, the low one into green.
    packed = np.dstack([units >> 8, units & 255, np.zeros_like(units)]).astype(np.uint8)
    content = {
        "name": name,
        "panels": _data_uri(_shrink(panels, _PANELS_MAX_WIDTH), ".webp", [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY]),
        "colour": _data_uri(rgb[start::step, start::step], ".webp", [cv2.IMWRITE_WEBP_QUALITY, _WEBP_QUALITY]),
        "depth": _data_uri(packed, ".png", []),
        "unit": unit_m,
        "width": width,
        "height": height,
        "fx": camera.fx / step,
        "fy": camera.fy / step,
        "cx": (camera.cx - start) / step,
        "cy": (camera.cy - start) / step,
        "pose": None if world_from_camera is None else [float(v) for v in world_from_camera.reshape(-1)],
        **numbers,
    }
    return PageFrame(content)


def make_page(
    *,
    title: str,
    lead: str,
    warning: str,
    frames: Sequence[PageFrame],
    near_m: float,
    far_m: float,
    point_size_m: float,
    panel_aspect: float,
    chart: Chart,
    latency: Table,
    accuracy: Table | None,
    facts: Sequence[tuple[str, str]],
    cloud_note: str,
    ceiling_z_m: float,
) -> str:
    """Return the page as HTML that needs no other file and no network.

    The numbers that steer the view of the points: `near_m` and `far_m` of the depth colours, `point_size_m`, and
    `ceiling_z_m`, the height in the world above which the view of all frames shows nothing unless asked to.
    """
    data = {
        "title": title,
        "lead": lead,
        "warning": warning,
        "frames": [frame.content for frame in frames],
        "near": near_m,
        "far": far_m,
        "point_size_m": point_size_m,
        "panel_aspect": panel_aspect,
        "chart": asdict(chart),
        "latency": asdict(latency),
        "accuracy": asdict(accuracy) if accuracy else None,
        "facts": list(facts),
        "cloud_note": cloud_note,
        "ceiling_z": ceiling_z_m,
    }
    template = resources.files("metric3d_ros.demo").joinpath("page.html").read_text(encoding="utf-8")
    # "</script>" inside a name would end the page's data; JSON allows the slash to be escaped.
    return template.replace("@DATA@", json.dumps(data, allow_nan=False).replace("</", "<\\/"))


def _shrink(picture: RgbImage, max_width: int) -> RgbImage:
    height, width = picture.shape[:2]
    if width <= max_width:
        return picture
    size = (max_width, max(1, round(height * max_width / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _data_uri(rgb: RgbImage, suffix: str, options: list[int]) -> str:
    done, data = cv2.imencode(suffix, cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ImageError(f"this OpenCV cannot encode {suffix} of shape {rgb.shape}; install opencv-python-headless")
    return f"data:image/{suffix[1:]};base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
