"""The precisions a model can be stored in, and how each rewrites a traced graph and its weights."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from onnx import TensorProto, helper

from metric3d_export.graph.model_file import INLINE_LIMIT_BYTES, StoredModel, store_model
from metric3d_export.graph.stored_weights import OnBytes, Weight
from metric3d_export.graph.tracing import TracedGraph
from metric3d_export.precision import float16, int8
from metric3d_export.precision.float16 import ENCODER_ONLY, KEPT_IN_FLOAT32, compute_in_half
from metric3d_export.precision.int8 import compute_in_bytes
from metric3d_export.precision.weight_rounding import ReadBack, Steps
from metric3d_ros.comparison.precision_limits import FLOAT16_LIMITS, HALF_WEIGHTS_LIMITS, INT8_LIMITS, GuardLimits
from metric3d_ros.errors import ConfigurationError

Rewrite = Callable[[TracedGraph], list[Weight]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Precision:
    """One way to store a model."""

    meaning: str
    rewrite: Rewrite
    """Changes the graph in place; returns the weights to store."""
    read_back: ReadBack | None = None
    """What the weights become by being stored as they are; None if they stay what they are."""
    steps: Steps | None = None
    """Of the values that weights can take; None if they are float32 or float16."""
    bytes_per_weight: int = 4
    """As a lower bound."""
    guard: GuardLimits | None = None
    """What it may differ from float32 by; None for float32."""
    exact: bool = False
    """Whether it computes in float32, so that it must also agree with PyTorch for the same weights."""
    scales_in_weights: bool = True
    """Whether the residuals' scales are multiplied into the weights before them; float16 may not hold the products."""


def keep_float(traced: TracedGraph) -> list[Weight]:
    """Store the weights as they are."""
    return [Weight(name, tensor) for name, tensor in traced.weights.items()]


def store_half(traced: TracedGraph) -> list[Weight]:
    """Store weights as float16, but for those of `float16.is_stored_whole`; cast them to float32 in the graph.

    Their values must be among those of float16.
    """
    stored = []
    for name, tensor in traced.weights.items():
        half = not float16.is_stored_whole(tensor, traced.weight_places[name])
        stored.append(Weight(f"{name}.half", tensor, TensorProto.FLOAT16) if half else Weight(name, tensor))
        if half:
            traced.model.graph.node.insert(0, helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    return stored


PRECISIONS = {
    "fp32": Precision(meaning="float32 throughout", rewrite=keep_float, exact=True),
    "fp32-half-weights": Precision(
        meaning="weights stored as float16, computed in float32: half the file, the same speed",
        rewrite=store_half,
        read_back=float16.read_back,
        bytes_per_weight=2,
        guard=HALF_WEIGHTS_LIMITS,
        exact=True,
        scales_in_weights=False,
    ),
    "fp16": Precision(
        meaning="float16 except for what measurably needs float32: half the file, for GPUs",
        rewrite=lambda traced: compute_in_half(traced, kept=KEPT_IN_FLOAT32),
        read_back=float16.read_back,
        bytes_per_weight=2,
        guard=FLOAT16_LIMITS,
        scales_in_weights=False,
    ),
    "mixed": Precision(
        meaning="the encoder in float16, the decoder in float32: half the file, nearer to fp32",
        rewrite=lambda traced: compute_in_half(traced, kept=ENCODER_ONLY),
        read_back=float16.read_back,
        bytes_per_weight=2,
        guard=FLOAT16_LIMITS,
        scales_in_weights=False,
    ),
    "int8": Precision(
        meaning="matrix products in 8 bits, other weights stored in 8 bits: a quarter of the file, for CPUs",
        rewrite=compute_in_bytes,
        read_back=int8.read_back,
        steps=int8.channel_scales,
        bytes_per_weight=1,
        guard=INT8_LIMITS,
    ),
}


def find_precision(name: str) -> Precision:
    """Return the precision called `name`; raises ConfigurationError that lists the known ones."""
    try:
        return PRECISIONS[name]
    except KeyError:
        raise ConfigurationError(f"unknown precision {name!r}: choose one of {', '.join(PRECISIONS)}") from None


def rewrite_and_store(
    traced: TracedGraph,
    path: Path,
    *,
    precision: str = "fp32",
    inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    on_bytes: OnBytes = lambda count: None,
) -> StoredModel:
    """Write a traced graph, which is consumed, in a precision; the rest is as for `model_file.store_model`."""
    weights = find_precision(precision).rewrite(traced)
    short = precision != "fp32"
    return store_model(
        traced.model, weights, path, short_names=short, inline_limit_bytes=inline_limit_bytes, on_bytes=on_bytes
    )
