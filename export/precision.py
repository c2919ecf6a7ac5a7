"""The precisions a model can be stored in, and how each rewrites a traced graph and its weights."""

import dataclasses
from collections.abc import Callable

import onnx
from onnx import TensorProto, helper
from torch import Tensor

from metric3d_export import half_arithmetic, quantisation
from metric3d_export.guard import FLOAT16_LIMITS, HALF_WEIGHTS_LIMITS, INT8_LIMITS, GuardLimits
from metric3d_export.half_arithmetic import ENCODER_ONLY, KEPT_IN_FLOAT32, compute_in_half
from metric3d_export.quantisation import compute_in_bytes
from metric3d_export.weight_rounding import ReadBack
from metric3d_export.weight_streams import Weight
from metric3d_ros.errors import ConfigurationError

Rewrite = Callable[[onnx.ModelProto, dict[str, Tensor]], list[Weight]]


@dataclasses.dataclass(frozen=True)
class Precision:
    """One way to store a model."""

    meaning: str
    rewrite: Rewrite
    """Changes the graph in place, given the weights by the names it reads them under; returns what to store."""
    read_back: ReadBack | None = None
    """What the weights become by being stored; None where they stay what they are."""
    feedback: bool = False
    """Whether weights are float16 and are rounded before the graph is traced, errors distributed."""
    bytes_per_weight: int = 4
    """As a lower bound."""
    guard: GuardLimits | None = None
    """What it may differ from float32 by; None for float32."""
    exact: bool = False
    """Whether it computes in float32, so that it must also agree with PyTorch, given the same weights."""
    scales_in_weights: bool = True
    """Whether the residuals' scales are multiplied into the weights before them; float16 may not hold the products."""


def keep_float(model: onnx.ModelProto, weights: dict[str, Tensor]) -> list[Weight]:
    """Store the weights as they are."""
    return [Weight(name, tensor) for name, tensor in weights.items()]


def store_half(model: onnx.ModelProto, weights: dict[str, Tensor]) -> list[Weight]:
    """Store weights of two and more dimensions as float16, and cast them to float32 in the graph.

    The values must be representable (see `round_to_half`).
    """
    stored = []
    for name, tensor in weights.items():
        half = tensor.dim() > 1
        stored.append(Weight(f"{name}.half", tensor, TensorProto.FLOAT16) if half else Weight(name, tensor))
        if half:
            model.graph.node.insert(0, helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    return stored


def round_to_half(name: str, tensor: Tensor) -> Tensor:
    """Return the nearest values that float16 represents; raises ExportError for one beyond its range."""
    half_arithmetic.check_range(name, tensor)
    return tensor.half().float()


PRECISIONS = {
    "fp32": Precision("float32 throughout", keep_float, exact=True),
    "fp32-half-weights": Precision(
        "weights stored as float16, computed with as float32: half the file, the same speed",
        store_half,
        lambda name, tensor, axis: round_to_half(name, tensor),
        True,
        2,
        HALF_WEIGHTS_LIMITS,
        exact=True,
        scales_in_weights=False,
    ),
    "fp16": Precision(
        "float16 but for what measurably needs float32: half the file, for GPUs",
        lambda model, weights: compute_in_half(model, weights, kept=KEPT_IN_FLOAT32),
        half_arithmetic.read_back,
        True,
        2,
        FLOAT16_LIMITS,
        scales_in_weights=False,
    ),
    "mixed": Precision(
        "the encoder in float16, the decoder in float32: half the file, nearer to fp32",
        lambda model, weights: compute_in_half(model, weights, kept=ENCODER_ONLY),
        half_arithmetic.read_back,
        True,
        2,
        FLOAT16_LIMITS,
        scales_in_weights=False,
    ),
    "int8": Precision(
        "matrix products in 8 bits, other weights stored in 8 bits: a quarter of the file, for CPUs",
        compute_in_bytes,
        quantisation.read_back,
        False,
        1,
        INT8_LIMITS,
    ),
}


def find_precision(name: str) -> Precision:
    """Return the precision called `name`; raises ConfigurationError that lists the known ones."""
    try:
        return PRECISIONS[name]
    except KeyError:
        raise ConfigurationError(f"unknown precision {name!r}: choose one of {', '.join(PRECISIONS)}") from None
