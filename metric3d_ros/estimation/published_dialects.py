"""The dialects of third-party ONNX files: image in as NCHW, depth out as the canonical camera sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.camera import Camera
from metric3d_ros.estimation.inference_size import fit_within
from metric3d_ros.estimation.metres import metres_per_canonical_metre
from metric3d_ros.model_contract import MEAN_RGB, Metadata

Float32Array = npt.NDArray[np.float32]
RgbArray = npt.NDArray[np.uint8]

SIZE_MULTIPLE = 28
"""Pixels: the networks take images whose sides are multiples of it, twice the patch of their ViT."""


@dataclass(frozen=True, kw_only=True)
class PublishedNames:
    """Who published the files, and their names of the tensors; None for what they lack."""

    publisher: str
    image: str
    depth: str
    normal: str | None = None
    normal_confidence: str | None = None


AUTHORS = PublishedNames(publisher="the authors' export", image="image", depth="pred_depth")
ONNX_COMMUNITY = PublishedNames(
    publisher="onnx-community",
    image="pixel_values",
    depth="predicted_depth",
    normal="predicted_normal",
    normal_confidence="normal_confidence",
)
PUBLISHED = (AUTHORS, ONNX_COMMUNITY)


class PublishedDialect:
    """Does outside the graph what our own files do in it: pad to the input size, crop, scale to metres.

    A file of any size takes sides that are multiples of `SIZE_MULTIPLE`. Images for a file of one size are resized to
    fit into it with their aspect. Both are padded with the training mean on all sides.

    Attributes: see `Dialect`.
    """

    max_batch: int | None = 1
    metadata: Metadata | None = None
    size_multiple = SIZE_MULTIPLE
    training_size_hw: tuple[int, int] | None = None

    def __init__(
        self, names: PublishedNames, present: Collection[str], *, fixed_size_hw: tuple[int, int] | None
    ) -> None:
        """Describe a file with the outputs `present`; `fixed_size_hw` is the only (height, width) that it takes."""
        self.name = names.publisher
        self.fixed_size_hw = fixed_size_hw
        self._image = names.image
        named = {
            model_contract.DEPTH: names.depth,
            model_contract.NORMAL: names.normal,
            model_contract.NORMAL_CONFIDENCE: names.normal_confidence,
        }
        self.outputs: Mapping[str, str] = {
            name: tensor for name, tensor in named.items() if tensor is not None and tensor in present
        }

    def scale(self, camera: Camera, size_hw: tuple[int, int]) -> float:
        """Return the focal length, in pixels, of the camera's image resized to `size_hw`.

        For a file of one size by the factor of the resizing itself, which whole pixels only come near.
        """
        if self.fixed_size_hw is None:
            return camera.scaled(size_hw[1], size_hw[0]).focal_px
        _, factor = fit_within(camera.size_hw, self.fixed_size_hw)
        return camera.focal_px * factor

    def prepare(self, images: Sequence[RgbArray], focal_px: Sequence[float]) -> dict[str, npt.NDArray[Any]]:
        """Return the input by name: float32 (N, 3, H, W), 0 to 255, padded with the training mean."""
        height, width = images[0].shape[:2]
        outer_hw, top, left = self._place((height, width))
        canvas = np.empty((len(images), 3, *outer_hw), np.float32)
        canvas[:] = np.array(MEAN_RGB, np.float32)[:, None, None]
        for place, rgb in zip(canvas, images, strict=True):
            place[:, top : top + height, left : left + width] = rgb.transpose(2, 0, 1)
        return {self._image: canvas}

    def finish(
        self, results: Mapping[str, Float32Array], focal_px: Sequence[float], size_hw: tuple[int, int]
    ) -> dict[str, Float32Array]:
        """Return the results cropped to `size_hw`, channels last, depth in metres."""
        maps = {name: self._crop(result, size_hw) for name, result in results.items()}
        if model_contract.DEPTH in maps:
            metres = metres_per_canonical_metre(np.asarray(focal_px, np.float64)).astype(np.float32)
            maps[model_contract.DEPTH] = maps[model_contract.DEPTH] * metres[:, None, None]
        return maps

    def _place(self, size_hw: tuple[int, int]) -> tuple[tuple[int, int], int, int]:
        """Return the (height, width) of the network's input, and the row and column where the image begins in it."""
        height, width = size_hw
        outer_hw = self.fixed_size_hw or (_round_up(height), _round_up(width))
        return outer_hw, (outer_hw[0] - height) // 2, (outer_hw[1] - width) // 2

    def _crop(self, result: Float32Array, size_hw: tuple[int, int]) -> Float32Array:
        """Return (N, h, w, C), or (N, h, w) for one channel, of an output that is (N, C, H, W) or (N, H, W)."""
        planes = result if result.ndim == 3 else result.transpose(0, 2, 3, 1)
        _, top, left = self._place(size_hw)
        planes = planes[:, top : top + size_hw[0], left : left + size_hw[1]]
        return np.ascontiguousarray(planes[..., 0] if planes.ndim == 4 and planes.shape[3] == 1 else planes)


def _round_up(length: int) -> int:
    return -(-length // SIZE_MULTIPLE) * SIZE_MULTIPLE
