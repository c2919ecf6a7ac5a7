"""The model contract: names and shapes of a depth model's tensors, and its metadata.

The export tool writes files by this contract and `metric3d_ros.estimation` reads them.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, get_type_hints

from metric3d_ros.errors import ModelError
from metric3d_ros.files.excerpts import excerpt

IMAGE = "image"  # in:  uint8 (N, H, W, 3), RGB, any H and W
FOCAL_LENGTH = "focal_length"  # in:  float32 (N,), pixels of this image
DEPTH = "depth"  # out: float32 (N, H, W), metres along the optical axis, finite, > 0
CONFIDENCE = "confidence"  # out: float32 (N, H, W), expected accuracy, about 0..1
NORMAL = "normal"  # out: float32 (N, H, W, 3), unit, camera optical frame, facing the camera; ViT variants
NORMAL_CONFIDENCE = "normal_confidence"  # out: float32 (N, H, W), kappa; ViT variants

CANONICAL_FOCAL_PX = 1000.0
"""Focal length of the camera that every network takes its images for; `estimation.metres` has the formula."""

MEAN_RGB = (123.675, 116.28, 103.53)
"""Colour that padding must have (0..255): the training mean, which is 0 once normalised."""

STD_RGB = (58.395, 57.12, 57.375)

FORMAT_VERSION = 1
METADATA_PREFIX = "metric3d."
STAND_IN_WEIGHTS = "stand-in"
"""Value of `Metadata.weights_file` for pseudo-random weights, with which depth is meaningless."""
DEMO_WEIGHTS = "demo"
"""Value of `Metadata.weights_file` for the demo model that comes with the package."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metadata:
    """The `metadata_props` of a model file; each field is stored under `metric3d.<field>`."""

    variant: str
    precision: str
    size_multiple: int
    """The graph pads height and width to multiples of this many pixels."""
    depth_range_m: tuple[float, float]
    """Least and greatest depth the network can state, for the canonical camera."""
    training_size_hw: tuple[int, int]
    opset: int
    weights_file: str
    """Base name of the checkpoint, or `STAND_IN_WEIGHTS`, or `DEMO_WEIGHTS`."""
    weights_sha256: str
    exporter_version: str
    max_difference: float
    """Largest difference from PyTorch measured at export, as |a - b| / max(|b|, 1) over depth and confidence."""
    canonical_focal_px: float = CANONICAL_FOCAL_PX
    format_version: int = FORMAT_VERSION

    @property
    def meaningless(self) -> bool:
        """Whether the weights are stand-ins, so that the outputs say nothing about the scene."""
        return self.weights_file == STAND_IN_WEIGHTS

    @property
    def is_demo(self) -> bool:
        """Whether it is the demo model, which was trained on rendered images only."""
        return self.weights_file == DEMO_WEIGHTS

    def to_properties(self) -> dict[str, str]:
        """Return the key-value strings to store: text as it is, everything else as JSON."""
        values = dataclasses.asdict(self)
        return {METADATA_PREFIX + k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str]) -> "Metadata":
        """Read `to_properties`' strings back; keys that are not known are ignored.

        Raises ModelError when a key is missing or unreadable, or when the format is newer than this package.
        """
        found: dict[str, Any] = {}
        for field, kind in get_type_hints(cls).items():
            text = properties.get(METADATA_PREFIX + field)
            if text is None:
                raise ModelError(
                    f"the model's metadata lacks {METADATA_PREFIX + field}: export it again with `metric3d export`"
                )
            try:
                found[field] = _parse(text, kind)
                _check(field, found[field])
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                raise ModelError(
                    f"the model's metadata has {METADATA_PREFIX + field} = {excerpt(text)}, expected "
                    f"{_EXPECTED[kind]}: export it again with `metric3d export`"
                ) from error
        if found["format_version"] > FORMAT_VERSION:
            raise ModelError(
                f"the model has format version {found['format_version']}, this package reads up to {FORMAT_VERSION}: "
                "update metric3d_ros, or export the model with this version"
            )
        return cls(**found)


_MOST_WHOLE = 1_000_000
"""More than any size in pixels, operator set or format."""
_EXPECTED = {
    str: "text",
    int: "a whole number of at least 1",
    float: "a number that is not negative",
    tuple[int, int]: "two whole numbers of at least 1",
    tuple[float, float]: "two numbers that are not negative",
}


def _check(field: str, value: Any) -> None:
    """Raise ValueError for a number that no model can have: each is a size, a length or a version."""
    if field == "max_difference":
        return  # NaN until an export has measured it
    for part in value if isinstance(value, tuple) else (value,):
        if isinstance(part, float) and not (0 <= part < math.inf):
            raise ValueError(f"{field} is {part}")
        if isinstance(part, int) and not 1 <= part <= _MOST_WHOLE:
            raise ValueError(f"{field} is {part}")


def _parse(text: str, kind: Any) -> Any:
    if kind is str:
        return text
    value = json.loads(text)
    if kind in (int, float):
        return kind(value)
    part = kind.__args__[0]  # the tuples above are pairs of one type
    first, second = value
    return part(first), part(second)
