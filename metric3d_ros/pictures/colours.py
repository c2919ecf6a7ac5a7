"""Depth, normals and confidence as colours."""

import dataclasses
import functools
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry import FarOptions

Rgb = NDArray[np.uint8]

INVALID_RGB = (48, 48, 52)
"""The colour of invalid pixels: dark gray, which no colour map contains."""

DEFAULT_RANGE_M = (0.1, 10.0)
"""The range of colours for an image without valid depth."""

_MAPS = {
    "turbo": cv2.COLORMAP_TURBO,
    "jet": cv2.COLORMAP_JET,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "plasma": cv2.COLORMAP_PLASMA,
    "magma": cv2.COLORMAP_MAGMA,
    "inferno": cv2.COLORMAP_INFERNO,
    "cividis": cv2.COLORMAP_CIVIDIS,
    "gray": None,
}
COLOUR_MAPS = tuple(_MAPS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthColours:
    """How metres become colours: the near end is the map's warm or bright end, red in turbo."""

    near_m: float
    far_m: float
    colour_map: str = "turbo"
    scale: Literal["linear", "log"] = "linear"
    """`log` gives equal steps of colour to equal ratios of depth, which resolves near depth better."""

    def __post_init__(self) -> None:
        least = 0.0 if self.scale == "linear" else np.finfo(np.float32).tiny
        if not (least <= self.near_m < self.far_m < float("inf")):
            raise ConfigurationError(
                f"the range of depth colours is {self.near_m:g} to {self.far_m:g} m, expected 0 <= near < far, "
                "both finite (and near > 0 for the log scale)"
            )

    @classmethod
    def fitting(
        cls, depth_m: NDArray[np.float32], *, colour_map: str = "turbo", scale: Literal["linear", "log"] = "linear"
    ) -> "DepthColours":
        """Choose the range that `fit_range` finds in an image."""
        near_m, far_m = fit_range(depth_m) or DEFAULT_RANGE_M
        return cls(near_m=near_m, far_m=far_m, colour_map=colour_map, scale=scale)

    def fractions(self, depth_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return 1 at `near_m` and nearer, 0 at `far_m` and farther, in between by the scale; NaN for NaN."""
        if self.scale == "linear":
            fractions = (np.float32(self.far_m) - depth_m) * np.float32(1 / (self.far_m - self.near_m))
        else:
            steepness = 1 / np.log(self.far_m / self.near_m)
            fractions = np.log(np.float32(self.far_m) / depth_m) * np.float32(steepness)
        return np.asarray(np.clip(fractions, 0, 1), dtype=np.float32)

    def indices(self, depth_m: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return 1 + 254 times `fractions`, rounded, in a third of the time; undefined for invalid depth."""
        if self.scale == "linear":
            steps = np.subtract(np.float32(self.far_m), depth_m)
            span = self.far_m - self.near_m
        else:
            steps = np.asarray(cv2.log(depth_m), dtype=np.float32).reshape(depth_m.shape)
            np.subtract(np.float32(np.log(self.far_m)), steps, out=steps)
            span = float(np.log(self.far_m / self.near_m))
        np.maximum(steps, np.float32(0), out=steps)
        # Scales, rounds and writes bytes in one pass.
        return np.asarray(cv2.convertScaleAbs(steps, alpha=254 / span, beta=1), dtype=np.uint8).reshape(depth_m.shape)


def fit_range(depth_m: NDArray[np.float32]) -> tuple[float, float] | None:
    """Return the metres between which 98 % of an image's valid depth lies, from about 20 000 of its pixels.

    Depth beyond the network's maximum, mostly sky, is ignored unless nothing is nearer: otherwise a street below it
    would have one colour. None if no pixel is valid.
    """
    step = max(1, int((depth_m.size / 20_000) ** 0.5))
    sample = depth_m[::step, ::step]
    sample = sample[(sample > 0) & np.isfinite(sample)]
    if not sample.size:
        return None
    within_reach = sample[sample < FarOptions.ceiling_m]
    near_m, far_m = (float(value) for value in np.percentile(within_reach if within_reach.size else sample, (1, 99)))
    # A flat scene still needs a range: a tenth of its depth.
    return near_m, max(far_m, near_m * 1.1)


def depth_to_rgb(depth_m: NDArray[np.float32], colours: DepthColours | None = None) -> Rgb:
    """Paint (H, W) depth in metres: (H, W, 3) uint8 RGB, near warm, `INVALID_RGB` where not finite and > 0.

    Without `colours`, turbo over the range that fits this image.
    """
    colours = colours or DepthColours.fitting(depth_m)
    with np.errstate(invalid="ignore", divide="ignore"):
        index = colours.indices(depth_m)
        # Most images are valid everywhere, which two reductions reveal; a NaN makes both NaN, and NaN compares false.
        if not (depth_m.size and depth_m.min() > 0 and depth_m.max() < np.inf):
            index *= (depth_m > 0) & np.isfinite(depth_m)
    return _paint(index, colours.colour_map)


def confidence_to_rgb(confidence: NDArray[np.float32], *, colour_map: str = "viridis") -> Rgb:
    """Paint (H, W) confidence from 0 (dark) to 1 (bright): (H, W, 3) uint8 RGB, `INVALID_RGB` where NaN."""
    with np.errstate(invalid="ignore"):
        index = np.asarray(cv2.convertScaleAbs(np.clip(confidence, 0, 1), alpha=254, beta=1), dtype=np.uint8)
        return _paint(index * ~np.isnan(confidence), colour_map)


def normals_to_rgb(normals: NDArray[np.float32]) -> Rgb:
    """Paint (H, W, 3) unit normals of the optical frame as (n + 1) / 2: (H, W, 3) uint8 RGB, `INVALID_RGB` where NaN.

    Red is x (to the right), green y (down), blue z (away from the camera). A wall that faces the camera, 0 0 -1, is
    olive (128, 128, 0), a floor, 0 -1 0, purple (128, 0, 128), a wall on the left, 1 0 0, pink (255, 128, 128).
    """
    # convertScaleAbs takes |127.5 n + 127.5|, rounded, which is right for every n in -1..1.
    painted = np.asarray(cv2.convertScaleAbs(normals, alpha=127.5, beta=127.5), dtype=np.uint8)
    invalid = np.isnan(normals[..., 0])
    if not invalid.any():
        return painted
    # Six times as fast as indexing by the mask.
    gray = np.full(painted.shape, INVALID_RGB, np.uint8)
    return np.asarray(cv2.copyTo(gray, invalid.view(np.uint8), painted), dtype=np.uint8)


def _paint(index: NDArray[np.uint8], colour_map: str) -> Rgb:
    """Look up (H, W) places on a map; 0 is kept for what has no value, so that one look-up paints everything."""
    return np.asarray(cv2.applyColorMap(index, _colour_table(colour_map)), dtype=np.uint8)


@functools.cache
def _colour_table(colour_map: str) -> Rgb:
    """Return (256, 1, 3) RGB: `INVALID_RGB`, then 255 colours from the map's low to its high end."""
    if colour_map not in _MAPS:
        raise ConfigurationError(f"the colour map is {colour_map!r}, expected one of {', '.join(COLOUR_MAPS)}")
    ramp = np.rint(np.linspace(0, 255, 255)).astype(np.uint8)[:, None]
    code = _MAPS[colour_map]
    painted = np.dstack([ramp] * 3) if code is None else cv2.applyColorMap(ramp, code)[..., ::-1]
    table = np.concatenate([np.full((1, 1, 3), INVALID_RGB, np.uint8), painted.astype(np.uint8)])
    table.flags.writeable = False
    return table
