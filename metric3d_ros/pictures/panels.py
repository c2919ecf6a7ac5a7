"""Labelled pictures side by side: the image and the outputs of one frame."""

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.camera import Camera
from metric3d_ros.geometry import depth_to_points, filter_depth
from metric3d_ros.pictures.cloud_views import ABOVE, SIDE, draw_cloud
from metric3d_ros.pictures.colours import DepthColours, confidence_to_rgb, depth_to_rgb, normals_to_rgb
from metric3d_ros.pictures.text import MUTED_RGB, TEXT_RGB, WARNING_RGB, draw_text, text_size_px

Rgb = NDArray[np.uint8]

PAPER_RGB = (12, 13, 16)
_GAP, _TITLE_PX, _TITLE_ROOM = 14, 13, 30
_BAR_WIDTH, _BAR_GAP, _BAR_TEXT_PX = 14, 8, 11


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture of a row, with its title and, for depth, the bar that explains its colours."""

    title: str
    picture: Rgb
    """(H, W, 3)."""
    bar: DepthColours | None = None


def compose_panels(rows: Sequence[Sequence[Panel]], *, height: int = 360, caption: str = "", warning: str = "") -> Rgb:
    """Set rows of panels below each other, each panel scaled to `height` under its title: (H, W, 3) uint8 RGB.

    `caption` and `warning` (in orange) stand on lines of their own at the bottom. Text is ASCII.
    """
    framed = [[_framed(panel, height) for panel in row] for row in rows]
    width = max(sum(each.shape[1] + _GAP for each in row) for row in framed) + _GAP
    strips = [_beside(row, width) for row in framed]
    strips += [_line(text, width, rgb=rgb) for text, rgb in ((caption, MUTED_RGB), (warning, WARNING_RGB)) if text]
    strips.append(_paper(_GAP, width))
    return np.concatenate(strips)


def draw_frame(
    rgb: Rgb,
    depth_m: NDArray[np.float32],
    camera: Camera,
    *,
    normals: NDArray[np.float32] | None = None,
    confidence: NDArray[np.float32] | None = None,
    colours: DepthColours | None = None,
    height: int = 360,
    caption: str = "",
    warning: str = "",
) -> Rgb:
    """Draw one frame and what was estimated from it: image, depth, normals, confidence, points from above and aside.

    `rgb` is (H, W, 3) uint8, `depth_m` (H, W) metres with NaN where invalid, `normals` (H, W, 3), `confidence` (H, W);
    those that are None have no panel. One row; images more than twice as wide as high stand two in a row. The clouds
    leave out points at edges, which fly between surfaces.
    """
    colours = colours or DepthColours.fitting(depth_m)
    panels = [
        Panel(title=f"image  {camera.width} x {camera.height}", picture=rgb),
        Panel(title="depth", picture=depth_to_rgb(depth_m, colours), bar=colours),
    ]
    if normals is not None:
        panels.append(Panel(title="normals", picture=normals_to_rgb(normals)))
    if confidence is not None:
        panels.append(Panel(title="confidence", picture=confidence_to_rgb(confidence)))
    points = depth_to_points(filter_depth(depth_m, max_jump=0.1), camera)
    wide = camera.width > 2 * camera.height
    rows = [panels[i : i + 2] for i in range(0, len(panels), 2)] if wide else [panels]
    if wide and len(panels) % 2 == 0:
        rows.append([])
    rows[-1] += _cloud_panels(
        points, rgb, height=height, room=_room_for_clouds(camera, rows[-1], height), far_m=colours.far_m
    )
    return compose_panels(rows, height=height, caption=caption, warning=warning)


def _room_for_clouds(camera: Camera, beside: Sequence[Panel], height: int) -> int:
    """Return the width that both views share: what a row of two wide images leaves, or two and a quarter heights."""
    image_width = round(height * camera.width / camera.height)
    if camera.width <= 2 * camera.height:
        return round(2.25 * height) + _GAP
    return image_width if beside else 2 * image_width + _GAP


def _cloud_panels(points: NDArray[np.float32], rgb: Rgb, *, height: int, room: int, far_m: float) -> list[Panel]:
    above_width = min(round(room * 0.4), height)
    views = ((ABOVE, "points from above", above_width), (SIDE, "points from the side", room - above_width - _GAP))
    return [
        Panel(title=title, picture=draw_cloud(points, rgb, view=view, size_hw=(height, width), max_depth_m=far_m))
        for view, title, width in views
    ]


def _framed(panel: Panel, height: int) -> Rgb:
    """Return a panel under its title, with its colour bar on the right."""
    source_h, source_w = panel.picture.shape[:2]
    width = max(1, round(source_w * height / source_h))
    how = cv2.INTER_AREA if height < source_h else cv2.INTER_LINEAR
    picture = panel.picture
    if (source_h, source_w) != (height, width):
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=how), dtype=np.uint8)
    if panel.bar is not None:
        picture = np.concatenate([picture, _bar(panel.bar, height)], axis=1)
    title = _paper(_TITLE_ROOM, picture.shape[1])
    draw_text(title, panel.title, (0, _TITLE_ROOM - 9), size_px=_TITLE_PX)
    return np.concatenate([title, picture])


def _bar(colours: DepthColours, height: int) -> Rgb:
    """Return the colour bar of a depth picture, near at the bottom, with metres beside it."""
    labels = [(value, f"{value:.4g} m") for value in _ticks(colours)]
    text_width = max(text_size_px(text, size_px=_BAR_TEXT_PX)[0] for _, text in labels)
    bar = _paper(height, _BAR_GAP + _BAR_WIDTH + _BAR_GAP + text_width)
    scale = np.linspace(1, 0, height, dtype=np.float32)
    if colours.scale == "linear":
        metres = colours.near_m + scale * (colours.far_m - colours.near_m)
    else:
        metres = colours.near_m * (colours.far_m / colours.near_m) ** scale
    ramp = depth_to_rgb(np.maximum(metres, 1e-6).astype(np.float32)[:, None], colours)  # (height, 1, 3)
    bar[:, _BAR_GAP : _BAR_GAP + _BAR_WIDTH] = ramp
    for value, text in labels:
        row = float(colours.fractions(np.array([value], np.float32))[0]) * (height - 1)
        baseline = min(max(row + _BAR_TEXT_PX / 2, _BAR_TEXT_PX), height - 2)
        column = 2 * _BAR_GAP + _BAR_WIDTH
        cv2.line(bar, (column - 6, round(row)), (column - 3, round(row)), TEXT_RGB, 1)
        draw_text(bar, text, (column, baseline), size_px=_BAR_TEXT_PX)
    return bar


def _ticks(colours: DepthColours) -> list[float]:
    """Return some six round depths to label, from near to far."""
    near, far = colours.near_m, colours.far_m
    if colours.scale == "log" and far > 3 * near:
        decades = math.log10(far / near)
        factors = (
            (1, 2, 3, 5, 7) if decades < 1.2 else (1, 2, 5) if decades < 2.2 else (1, 3) if decades < 3.5 else (1,)
        )
        powers = range(math.floor(math.log10(near)), math.ceil(math.log10(far)) + 1)
        candidates = [factor * 10.0**power for power in powers for factor in factors]
    else:
        least = (far - near) / 6
        power = 10.0 ** math.floor(math.log10(least))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
        candidates = [step * i for i in range(math.ceil(near / step), math.floor(far / step) + 1)]
    return [value for value in candidates if near <= value <= far] or [far]


def _beside(framed: Sequence[Rgb], width: int) -> Rgb:
    strip = _paper(framed[0].shape[0], width)
    column = _GAP
    for each in framed:
        strip[:, column : column + each.shape[1]] = each
        column += each.shape[1] + _GAP
    return strip


def _line(text: str, width: int, *, rgb: tuple[int, int, int]) -> Rgb:
    line = _paper(_TITLE_ROOM, width)
    draw_text(line, text, (_GAP, _TITLE_ROOM - 9), size_px=_TITLE_PX, rgb=rgb)
    return line


def _paper(height: int, width: int) -> Rgb:
    return np.full((height, width, 3), PAPER_RGB, np.uint8)
