"""FrameRecord: all data of one frame, and its picture."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.comparison.metrics import measure_image
from metric3d_ros.demo.frame_sources import Truth
from metric3d_ros.geometry import depth_to_points, filter_depth
from metric3d_ros.pictures import (
    DepthColours,
    Panel,
    compose_panels,
    depth_to_rgb,
    draw_cloud,
    draw_frame,
    normals_to_rgb,
)
from metric3d_ros.pictures.cloud_views import ABOVE, SIDE, View
from metric3d_ros.pictures.text import draw_text, text_size_px

RgbImage = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

EDGE_JUMP = 0.1
"""Pixels at a jump of depth by more than this fraction are flying pixels; clouds leave them out."""

_ERROR_FULL_SCALE = 0.3
_BANNER_RGB = (190, 30, 24)
PANEL_GAP = 14


@dataclass(frozen=True)
class FrameRecord:
    """One frame as it came over DDS, with the truth where that is known.

    Attributes:
        index: its place among the source's frames, from 0.
        name: the image file's name.
        rgb: uint8 (H, W, 3).
        camera: the image's camera.
        depth_m: float32 (H, W), metres along the optical axis, NaN where invalid.
        normals: float32 (H, W, 3), optical frame; None if the node published none.
        confidence: float32 (H, W); None if the model gives none.
        latency_ms: by topic, from the image's stamp to the arrival.
        truth: true depth, normals and pose; None for the user's own images.
        figures: the result of `measure_image`; None without truth.
    """

    index: int
    name: str
    rgb: RgbImage
    camera: Camera
    depth_m: FloatImage
    normals: FloatImage | None
    confidence: FloatImage | None
    latency_ms: dict[str, float]
    truth: Truth | None = None
    figures: dict[str, float | None] | None = None

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take."""
        arrays: list[npt.NDArray[Any] | None] = [self.rgb, self.depth_m, self.normals, self.confidence]
        arrays += [self.truth.depth_m, self.truth.normals] if self.truth else []
        return sum(array.nbytes for array in arrays if array is not None)

    def cloud_depth_m(self) -> FloatImage:
        """Return depth (H, W) without the pixels at edges: NaN there."""
        return filter_depth(self.depth_m, max_jump=EDGE_JUMP)


def measure_record(depth_m: FloatImage, normals: FloatImage | None, truth: Truth) -> dict[str, float | None]:
    """Return every figure of one frame against its truth."""
    return measure_image(
        estimated_m=depth_m, true_m=truth.depth_m, estimated_normals=normals, true_normals=truth.normals
    )


def draw_record(record: FrameRecord, *, colours: DepthColours, height: int = 300) -> RgbImage:
    """Draw a frame: image, depth, normals and points; with its truth, true depth, true normals and the error too."""
    if record.truth is None or record.figures is None:
        return draw_frame(
            record.rgb,
            record.depth_m,
            record.camera,
            normals=record.normals,
            confidence=record.confidence,
            colours=colours,
            height=height,
            caption=f"{record.name}    {format_latency(record)}",
        )
    figures, truth = record.figures, record.truth
    points = depth_to_points(record.cloud_depth_m(), record.camera)

    def cloud(view: View, width: int) -> RgbImage:
        return draw_cloud(points, record.rgb, view=view, size_hw=(height, width), max_depth_m=colours.far_m * 1.2)

    top = [
        Panel(title="image", picture=record.rgb),
        Panel(title="depth, estimated", picture=depth_to_rgb(record.depth_m, colours), bar=colours),
        Panel(title="depth, true", picture=depth_to_rgb(truth.depth_m, colours), bar=colours),
        Panel(title="points from above", picture=cloud(ABOVE, round(1.2 * height))),
    ]
    relative_error = np.abs(record.depth_m - truth.depth_m) / truth.depth_m
    bottom = [
        Panel(
            title=f"depth error, mean {figures['abs_rel']:.1%} (white: {_ERROR_FULL_SCALE:.0%})",
            picture=paint_error(relative_error / _ERROR_FULL_SCALE),
        )
    ]
    if record.normals is not None:
        off = f"normals, estimated, {figures['normal_mean_deg']:.1f} deg off"
        bottom.append(Panel(title=off, picture=normals_to_rgb(record.normals)))
        bottom.append(Panel(title="normals, true", picture=normals_to_rgb(truth.normals)))
    # The view from the side takes the width that the rows' other panels leave.
    gap = compose_panels([top], height=height).shape[1] - compose_panels([bottom], height=height).shape[1]
    bottom.append(Panel(title="points from the side", picture=cloud(SIDE, max(height, gap - PANEL_GAP))))
    caption = f"{record.name}    {format_latency(record)}"
    return compose_panels([top, bottom], height=height, caption=caption)


def add_banner(picture: RgbImage, text: str) -> RgbImage:
    """Return (h, w, 3) with `text` in white on a red strip above it, as large as fits; as it is without a text."""
    if not text:
        return picture
    width = picture.shape[1]
    size_px = min(20.0, 0.94 * width / text_size_px(text, size_px=1000)[0] * 1000)
    strip = np.full((round(2.4 * size_px), width, 3), _BANNER_RGB, np.uint8)
    draw_text(strip, text, (0.03 * width, 1.7 * size_px), size_px=size_px, rgb=(255, 255, 255))
    return np.concatenate([strip, picture])


def paint_error(share: FloatImage) -> RgbImage:
    """Paint (H, W) errors: black at 0, over red and yellow to white at 1 and above; gray where NaN."""
    with np.errstate(invalid="ignore"):
        level = np.nan_to_num(np.clip(share, 0, 1) * 255).astype(np.uint8)
    painted = np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_HOT), np.uint8)[..., ::-1].copy()
    painted[np.isnan(share)] = (60, 60, 64)
    return painted


def format_latency(record: FrameRecord) -> str:
    """Return the latency of depth and points as text."""
    named = (("depth/image", "depth"), ("points", "points"))
    known = ((name, record.latency_ms[topic]) for topic, name in named if topic in record.latency_ms)
    return ", ".join(f"{name} after {latency_ms:.0f} ms" for name, latency_ms in known)
