"""The dialect of the files that `metric3d export` writes: the model contract, with nearly all steps in the graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.camera import Camera
from metric3d_ros.model_contract import Metadata

Float32Array = npt.NDArray[np.float32]
RgbArray = npt.NDArray[np.uint8]


class OwnDialect:
    """Feeds the images as they are: the graph pads, crops and scales to metres (`metres_per_canonical_metre`) itself.

    Attributes: see `Dialect`.
    """

    name = "metric3d_ros"
    fixed_size_hw: tuple[int, int] | None = None
    max_batch: int | None = None

    def __init__(self, present: Collection[str], metadata: Metadata | None) -> None:
        """Describe a file with the outputs `present`; `metadata` is None for a stand-in of a file."""
        names = (
            model_contract.DEPTH,
            model_contract.CONFIDENCE,
            model_contract.NORMAL,
            model_contract.NORMAL_CONFIDENCE,
        )
        self.outputs: Mapping[str, str] = {name: name for name in names if name in present}
        self.metadata = metadata
        self.size_multiple = metadata.size_multiple if metadata is not None else 1
        self.training_size_hw = metadata.training_size_hw if metadata is not None else None

    def scale(self, camera: Camera, size_hw: tuple[int, int]) -> float:
        """Return the focal length, in pixels, of the camera's image resized to `size_hw`."""
        return camera.scaled(size_hw[1], size_hw[0]).focal_px

    def prepare(self, images: Sequence[RgbArray], focal_px: Sequence[float]) -> dict[str, npt.NDArray[Any]]:
        """Return the inputs by name: uint8 (N, H, W, 3) and float32 (N,) pixels."""
        batch = images[0][None] if len(images) == 1 else np.stack(images)
        return {model_contract.IMAGE: batch, model_contract.FOCAL_LENGTH: np.array(focal_px, np.float32)}

    def finish(
        self, results: Mapping[str, Float32Array], focal_px: Sequence[float], size_hw: tuple[int, int]
    ) -> dict[str, Float32Array]:
        """Return the results as they are: the contract's names, shapes and metres."""
        return dict(results)
