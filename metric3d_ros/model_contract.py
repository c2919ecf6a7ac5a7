"""What a depth model's file looks like from outside: tensor names, metadata, and the dialects of foreign models.

The export tool writes this contract and the engine reads it; nothing here needs torch, onnx or ONNX Runtime.
"""

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any, get_type_hints

from metric3d_ros.errors import ModelError

IMAGE = "image"  # in:  uint8 (N, H, W, 3), RGB, any H and W
FOCAL_LENGTH = "focal_length"  # in:  float32 (N,), pixels of this image
DEPTH = "depth"  # out: float32 (N, H, W), metres along the optical axis, finite, > 0
CONFIDENCE = "confidence"  # out: float32 (N, H, W), expected accuracy, about 0..1
NORMAL = "normal"  # out: float32 (N, H, W, 3), unit, camera optical frame, facing the camera; ViT variants
NORMAL_CONFIDENCE = "normal_confidence"  # out: float32 (N, H, W), kappa; ViT variants

CANONICAL_FOCAL_PX = 1000.0
"""Metric depth = canonical depth * focal length of the image fed to the network / this."""

MEAN_RGB = (123.675, 116.28, 103.53)
"""Colour that padding must have (0..255): the training mean, which is 0 once normalised."""

STD_RGB = (58.395, 57.12, 57.375)

FORMAT_VERSION = 1
METADATA_PREFIX = "metric3d."
STAND_IN_WEIGHTS = "stand-in"
"""Value of `Metadata.weights_file` for pseudo-random weights, with which depth is meaningless."""


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
    """Base name of the checkpoint, or `STAND_IN_WEIGHTS`."""
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
            except (ValueError, TypeError) as error:
                raise ModelError(
                    f"the model's metadata has {METADATA_PREFIX + field} = {text!r}, expected {kind}: "
                    "export it again with `metric3d export`"
                ) from error
        if found["format_version"] > FORMAT_VERSION:
            raise ModelError(
                f"the model has format version {found['format_version']}, this package reads up to {FORMAT_VERSION}: "
                "update metric3d_ros, or export the model with this version"
            )
        return cls(**found)


def _parse(text: str, kind: Any) -> Any:
    if kind is str:
        return text
    value = json.loads(text)
    if kind in (int, float):
        return kind(value)
    part = kind.__args__[0]  # the tuples above are pairs of one type
    first, second = value
    return part(first), part(second)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dialect:
    """Tensor names and conventions of one kind of model file; a tensor that it does not have is None."""

    name: str
    image: str
    focal_length: str | None
    depth: str
    confidence: str | None
    normal: str | None
    normal_confidence: str | None
    required_outputs: frozenset[str]

    @property
    def self_contained(self) -> bool:
        """Whether the graph pads, crops and scales to metres itself (uint8 NHWC in).

        If not, the input is float32 NCHW 0..255 whose sides are multiples of `FOREIGN_SIZE_MULTIPLE` or fixed by the
        file, outputs are NCHW (or NHW for one channel), and depth is canonical.
        """
        return self.focal_length is not None


FOREIGN_SIZE_MULTIPLE = 28

NATIVE = Dialect(
    name="metric3d_ros",
    image=IMAGE,
    focal_length=FOCAL_LENGTH,
    depth=DEPTH,
    confidence=CONFIDENCE,
    normal=NORMAL,
    normal_confidence=NORMAL_CONFIDENCE,
    required_outputs=frozenset({DEPTH, CONFIDENCE}),
)
AUTHORS = Dialect(
    name="the authors' export",
    image="image",
    focal_length=None,
    depth="pred_depth",
    confidence=None,
    normal=None,
    normal_confidence=None,
    required_outputs=frozenset({"pred_depth"}),
)
ONNX_COMMUNITY = Dialect(
    name="onnx-community",
    image="pixel_values",
    focal_length=None,
    depth="predicted_depth",
    confidence=None,
    normal="predicted_normal",
    normal_confidence="normal_confidence",
    required_outputs=frozenset({"predicted_depth"}),
)
DIALECTS = (NATIVE, AUTHORS, ONNX_COMMUNITY)


def recognise_dialect(input_names: Collection[str], output_names: Collection[str]) -> Dialect:
    """Return the dialect whose inputs are exactly `input_names` and whose required outputs are all there.

    Raises ModelError for any other model, naming its tensors and those expected.
    """
    for dialect in DIALECTS:
        inputs = {dialect.image, dialect.focal_length} - {None}
        if set(input_names) == inputs and dialect.required_outputs <= set(output_names):
            return dialect
    raise ModelError(
        f"the model maps {', '.join(input_names)} to {', '.join(output_names)}, which is no known depth model; "
        f"expected {IMAGE}, {FOCAL_LENGTH} to {DEPTH}, {CONFIDENCE}: make one with `metric3d export`"
    )
