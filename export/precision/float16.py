"""Rewrites a float32 graph to compute in float16, and decides by the modules' roles what stays float32."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from metric3d_export.graph.stored_weights import Weight
from metric3d_export.graph.tracing import TracedGraph
from metric3d_export.network.roles import NO_ROLE, Place, Role
from metric3d_ros.errors import ExportError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kept:
    """Which operators stay float32."""

    own: frozenset[Role]
    """Modules of these roles keep the operators of their own `forward`."""
    throughout: frozenset[Role]
    """Modules of these roles keep all operators, those of the modules in them too."""
    kinds: frozenset[str] = frozenset({"LayerNormalization", "BatchNormalization"})
    """Operator types that always stay float32."""

    def holds(self, operator: onnx.NodeProto, place: Place) -> bool:
        return operator.op_type in self.kinds or place.own in self.own or not self.throughout.isdisjoint(place.around)


KEPT_IN_FLOAT32 = Kept(
    own=frozenset({Role.CONTRACT, Role.ENCODER, Role.RESIDUAL_SUM, Role.DECODER}),
    throughout=frozenset({Role.SENSITIVE, Role.DEPTH_REFINEMENT}),
)
"""What float16 costs accuracy in: docs/export.md has the measurements, also of what is not here since it costs none."""

ENCODER_ONLY = dataclasses.replace(KEPT_IN_FLOAT32, throughout=frozenset({Role.SENSITIVE, Role.DECODER}))
"""The encoder alone computes in float16."""

_MOVERS = frozenset(
    {"DepthToSpace", "Expand", "Flatten", "Gather", "Relu", "Reshape", "Slice", "Split", "Squeeze", "Transpose"}
    | {"Unsqueeze"}
)
"""Operators that only move or select values: they follow the type of what they read, which saves casts."""

_TYPED_BY_ATTRIBUTE = frozenset({"Cast", "ConstantOfShape", "Range", "Shape"})
_READ_AS_FLOAT32 = {"Resize": (1, 2)}  # inputs that ONNX wants in float32 whatever the data: region and scales

HALF_MAX = 65504.0


def compute_in_half(traced: TracedGraph, *, kept: Kept) -> list[Weight]:
    """Rewrite the graph in place to compute in float16, except for the operators of `kept`; return what to store.

    Inputs and outputs keep their types. Weights of two and more dimensions are stored as float16 in kept parts too,
    and cast where they are read, but for those of `is_stored_whole`. Raises ExportError for a weight that float16
    cannot hold.
    """
    rewriter = _Rewriter(traced)
    for node in list(traced.model.graph.node):
        rewriter.add(node, kept.holds(node, traced.operator_places[node.name]))
    return rewriter.finish()


def keeps_weights(place: Place) -> bool:
    """Whether weights at this place stay float32 in every precision: rounding them costs most for their size."""
    return place.own is Role.ENCODER or Role.SENSITIVE in place.around


def is_stored_whole(tensor: Tensor, place: Place) -> bool:
    """Whether a weight stays float32 unless an operator reads it in float16: float16 would cost accuracy."""
    return tensor.dim() < 2 or (keeps_weights(place) and not torch.equal(tensor.half(), tensor))


def read_back(name: str, tensor: Tensor, axis: int, place: Place = NO_ROLE) -> Tensor:
    """Return the values of a weight as read from a file of reduced precision (see `weight_rounding.ReadBack`).

    Raises ExportError for a weight that float16 cannot hold.
    """
    if is_stored_whole(tensor, place):
        return tensor
    check_range(name, tensor)
    return tensor.half().float()


class _Rewriter:
    def __init__(self, traced: TracedGraph) -> None:
        self.graph = traced.model.graph
        self.weights = traced.weights
        self.places = traced.weight_places
        self.floats = _find_float_tensors(traced.model, traced.weights)
        self.constants = {tensor.name: tensor for tensor in traced.model.graph.initializer}
        self.halves: set[str] = set()  # tensors that a rewritten operator makes as float16
        self.casts: set[str] = set()
        self.half_weights: set[str] = set()
        self.float_weights: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []

    def add(self, node: onnx.NodeProto, kept: bool) -> None:
        as_float = _READ_AS_FLOAT32.get(node.op_type, ())
        inputs = [i for i, name in enumerate(node.input) if name in self.floats and i not in as_float]
        outputs = [name for name in node.output if name in self.floats]
        half = bool(inputs) and bool(outputs) and not kept
        if node.op_type in _MOVERS and inputs:
            half = node.input[inputs[0]] in self.halves
        if node.op_type == "Shape":
            inputs = []  # any type will do
        if node.op_type in _TYPED_BY_ATTRIBUTE:
            half = False
        for i in inputs:
            node.input[i] = self._as_half(node.input[i]) if half else self._as_float(node.input[i])
        if half:
            self.halves.update(outputs)
        self.nodes.append(node)

    def _as_half(self, name: str) -> str:
        if name in self.halves:
            return name
        half = f"{name}.half"
        if name in self.weights:
            self.half_weights.add(name)
        elif name in self.constants:
            if half not in self.constants:
                values = numpy_helper.to_array(self.constants[name])
                self.constants[half] = numpy_helper.from_array(
                    values.clip(-HALF_MAX, HALF_MAX).astype(np.float16), half
                )
        else:
            self._cast(name, half, TensorProto.FLOAT16)
        return half

    def _as_float(self, name: str) -> str:
        if name in self.weights:
            self.float_weights.add(name)
        if name not in self.halves:
            return name
        self._cast(name, f"{name}.float", TensorProto.FLOAT)
        return f"{name}.float"

    def _cast(self, name: str, result: str, kind: int) -> None:
        if result not in self.casts:
            self.casts.add(result)
            self.nodes.append(helper.make_node("Cast", [name], [result], f"{result}/Cast", to=kind))

    def finish(self) -> list[Weight]:
        for output in self.graph.output:
            if output.name in self.halves:
                self._return_as_float(output.name)
        stored, widened = [], []
        for name, tensor in self.weights.items():
            if name in self.half_weights or not is_stored_whole(tensor, self.places[name]):
                check_range(name, tensor)
                stored.append(Weight(f"{name}.half", tensor, TensorProto.FLOAT16))
                if name in self.float_weights:
                    widened.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
            else:
                stored.append(Weight(name, tensor))
        read = {name for node in self.nodes for name in node.input}
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend([*widened, *self.nodes])
        self.graph.initializer.extend(tensor for name, tensor in self.constants.items() if name in read)
        return stored

    def _return_as_float(self, name: str) -> None:
        for node in self.nodes:
            for names in (node.input, node.output):
                for i, other in enumerate(names):
                    if other == name:
                        names[i] = f"{name}.half"
        self.nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))


def _find_float_tensors(model: onnx.ModelProto, weights: Mapping[str, Tensor]) -> set[str]:
    """Return the names of all float32 tensors; the graph's inputs do not name the weights."""
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    for name, tensor in weights.items():
        typed.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(tensor.shape)))
    graph = onnx.shape_inference.infer_shapes(typed).graph
    typed_values = (*graph.input, *graph.output, *graph.value_info)
    named = {value.name for value in typed_values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    known = {value.name for value in typed_values} | {tensor.name for tensor in graph.initializer}
    unknown = [name for node in graph.node for name in node.output if name and name not in known]
    if unknown:
        raise ExportError(f"ONNX cannot infer the type of {unknown[0]}: export with precision fp32")
    return named | {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}


def check_range(name: str, tensor: Tensor) -> None:
    """Raise ExportError for a weight that float16 cannot hold."""
    largest = float(tensor.detach().abs().max())
    if not largest <= HALF_MAX:
        raise ExportError(
            f"{name} reaches {largest:.3g}, and float16 ends at {HALF_MAX:.0f}: export with precision fp32"
        )
