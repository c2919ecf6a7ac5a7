"""Foreign models: fit an image to a file that does not pad or scale to metres itself, and undo that on its outputs."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.model_contract import CANONICAL_FOCAL_PX, FOREIGN_SIZE_MULTIPLE, MEAN_RGB

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """Where the image lies in the network's input: resized to `inner_hw`, then placed at (`top`, `left`) of `outer_hw`.

    `scale` is the factor of the resizing, by which the focal length changes too.
    """

    image_hw: tuple[int, int]
    inner_hw: tuple[int, int]
    outer_hw: tuple[int, int]
    scale: float

    @property
    def top(self) -> int:
        return (self.outer_hw[0] - self.inner_hw[0]) // 2

    @property
    def left(self) -> int:
        return (self.outer_hw[1] - self.inner_hw[1]) // 2


def fit_image(image_hw: tuple[int, int], *, fixed_size_hw: tuple[int, int] | None) -> Fit:
    """Return how an image of `image_hw` goes into a model: padded to the size multiple, or resized to a fixed size."""
    height, width = image_hw
    if fixed_size_hw is None:
        outer = (_round_up(height), _round_up(width))
        return Fit(image_hw, image_hw, outer, 1.0)
    scale = min(fixed_size_hw[0] / height, fixed_size_hw[1] / width)
    inner = (min(round(height * scale), fixed_size_hw[0]), min(round(width * scale), fixed_size_hw[1]))
    return Fit(image_hw, (max(inner[0], 1), max(inner[1], 1)), fixed_size_hw, scale)


def _round_up(length: int) -> int:
    return -(-length // FOREIGN_SIZE_MULTIPLE) * FOREIGN_SIZE_MULTIPLE


def prepare_image(rgb: npt.NDArray[np.uint8], fit: Fit) -> Float32Array:
    """Return the network's input (1, 3, H, W) float32 0..255 for `rgb` (h, w, 3) uint8, padded with the mean colour."""
    if fit.inner_hw != fit.image_hw:
        interpolation = cv2.INTER_AREA if fit.scale < 1 else cv2.INTER_LINEAR
        rgb = np.asarray(cv2.resize(rgb, fit.inner_hw[::-1], interpolation=interpolation), np.uint8)
    canvas = np.empty((1, 3, *fit.outer_hw), np.float32)
    canvas[0] = np.array(MEAN_RGB, np.float32)[:, None, None]
    height, width = fit.inner_hw
    canvas[0, :, fit.top : fit.top + height, fit.left : fit.left + width] = rgb.transpose(2, 0, 1)
    return canvas


def finish_map(output: Float32Array, fit: Fit) -> Float32Array:
    """Return one output of the network, (1, C, H, W) or (1, H, W), cropped to the image: (h, w, C) or (h, w)."""
    plane = output[0] if output.ndim == 3 else output[0].transpose(1, 2, 0)
    height, width = fit.inner_hw
    plane = plane[fit.top : fit.top + height, fit.left : fit.left + width]
    return np.ascontiguousarray(plane[..., 0] if plane.ndim == 3 and plane.shape[2] == 1 else plane)


def canonical_to_metres(canonical: Float32Array, focal_px: float, fit: Fit) -> Float32Array:
    """Return metres for canonical depth; `focal_px` is that of the image before `fit` resized it."""
    return canonical * np.float32(focal_px * fit.scale / CANONICAL_FOCAL_PX)
