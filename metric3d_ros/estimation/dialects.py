"""Dialects of model files: the only module that recognises them, and the interface that hides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.camera import Camera
from metric3d_ros.engine import Engine
from metric3d_ros.errors import ModelError
from metric3d_ros.estimation.own_dialect import OwnDialect
from metric3d_ros.estimation.published_dialects import PUBLISHED, PublishedDialect
from metric3d_ros.model_contract import Metadata

Float32Array = npt.NDArray[np.float32]
RgbArray = npt.NDArray[np.uint8]


_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")


class Dialect(Protocol):
    """Translates between the model contract and one kind of model file.

    Attributes:
        name: who publishes such files.
        outputs: the file's names of its outputs, by the contract's names (`model_contract.DEPTH` and so on).
        metadata: what our exporter wrote into the file; None for files of others.
        fixed_size_hw: (height, width) of the only input that the file takes; None if any size goes.
        size_multiple: pixels; inputs are padded to multiples of it.
        training_size_hw: (height, width) that the network was trained with; None if the file does not state it.
        max_batch: the most images in one run; None if any number goes.
    """

    name: str
    outputs: Mapping[str, str]
    metadata: Metadata | None
    fixed_size_hw: tuple[int, int] | None
    size_multiple: int
    training_size_hw: tuple[int, int] | None
    max_batch: int | None

    def scale(self, camera: Camera, size_hw: tuple[int, int]) -> float:
        """Return the focal length, in pixels, that sets the scale of the camera's image at `size_hw`."""
        ...

    def prepare(self, images: Sequence[RgbArray], focal_px: Sequence[float]) -> dict[str, npt.NDArray[Any]]:
        """Return the file's inputs by name.

        Args:
            images: uint8 (H, W, 3) RGB, all of one size, at most `max_batch`.
            focal_px: for each image, from `scale`.
        """
        ...

    def finish(
        self, results: Mapping[str, Float32Array], focal_px: Sequence[float], size_hw: tuple[int, int]
    ) -> dict[str, Float32Array]:
        """Return the contract's maps: depth (N, h, w) in metres, normals (N, h, w, 3), confidences (N, h, w).

        Args:
            results: the file's outputs in its own layout, by the contract's names.
            focal_px: as for `prepare`.
            size_hw: (h, w) of the images that `prepare` was given.
        """
        ...


def recognise_dialect(engine: Engine) -> Dialect:
    """Return the dialect of a file, from its tensors' names.

    Raises:
        ModelError: another model, with its tensors' names and those expected; or our own with unusable metadata.
    """
    inputs = set(engine.inputs)
    present = {name for name, tensor in engine.outputs.items() if tensor.kind in _FLOATS}
    own = {model_contract.IMAGE, model_contract.FOCAL_LENGTH}
    if inputs == own and {model_contract.DEPTH, model_contract.CONFIDENCE} <= present:
        return OwnDialect(present, Metadata.from_properties(engine.properties))
    for names in PUBLISHED:
        if inputs == {names.image} and names.depth in present and len(engine.inputs[names.image].shape) == 4:
            height, width = engine.inputs[names.image].shape[2:]
            fixed_size_hw = (height, width) if isinstance(height, int) and isinstance(width, int) else None
            return PublishedDialect(names, present, fixed_size_hw=fixed_size_hw)
    raise ModelError(
        f"the model maps {', '.join(engine.inputs)} to {', '.join(engine.outputs)}, which is not a known depth model; "
        f"expected {model_contract.IMAGE}, {model_contract.FOCAL_LENGTH} to {model_contract.DEPTH}, "
        f"{model_contract.CONFIDENCE}: make one with `metric3d export`"
    )
