"""Records as an ONNX graph how the weights of a graph are computed from the published tensors.

The forms of `graph.forms` make their parameters by a few tensor operations: splits, products, joins. They are
recorded while a network without values (on PyTorch's meta device) takes the forms.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from metric3d_export.graph.forms import graph_forms
from metric3d_export.graph.tracing import OPSET
from metric3d_export.network.variants import build_network
from metric3d_ros.errors import ExportError

_Key = tuple[int, int, tuple[int, ...], tuple[int, ...]]

_SAME = ("aten.detach.default", "aten.alias.default")
_TO_THE_END = 2**62
_KINDS = {torch.float32: TensorProto.FLOAT, torch.float64: TensorProto.DOUBLE}


class Preparations:
    """The operations that make a variant's stored weights.

    Attributes:
        published: shapes of the published tensors, by name.
    """

    def __init__(self, variant: str, *, optimise: bool, scales_in_weights: bool) -> None:
        """Record those of `forms.graph_forms` with these arguments."""
        with torch.device("meta"):
            network = build_network(variant).eval()
        state = network.state_dict()
        self.published = {name: tuple(tensor.shape) for name, tensor in state.items()}
        self._recorder = _Recorder(state)
        forms = graph_forms(network, optimise=optimise, scales_in_weights=scales_in_weights)
        with torch.no_grad(), self._recorder, forms:
            self._made = {name: self._recorder.name_of(tensor) for name, tensor in network.state_dict().items()}

    def to_model(self, outputs: Mapping[str, tuple[str, bool, bool]]) -> onnx.ModelProto:
        """Return the graph from published tensors to stored ones.

        Args:
            outputs: by the name of each stored tensor: the name of the parameter that it holds, whether it is
                transposed, and whether it is float16.
        """
        nodes = list(self._recorder.nodes)
        declared = []
        for stored, (parameter, transposed, half) in outputs.items():
            name, shape = self._made[parameter]
            steps: list[tuple[str, dict[str, Any]]] = []
            if transposed:
                steps.append(("Transpose", {"perm": [1, 0]}))
                shape = shape[::-1]
            if half:
                steps.append(("Cast", {"to": TensorProto.FLOAT16}))
            for index, (kind, attributes) in enumerate(steps or [("Identity", {})]):
                last = index == max(len(steps), 1) - 1
                made = f"out.{stored}" if last else f"transposed.{stored}"
                nodes.append(helper.make_node(kind, [name], [made], **attributes))
                name = made
            kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            declared.append(helper.make_tensor_value_info(f"out.{stored}", kind, shape))
        nodes, read = _needed(nodes, {value.name for value in declared})
        graph = helper.make_graph(
            nodes,
            "preparations",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in self.published.items()
                if name in read
            ],
            declared,
            [tensor for tensor in self._recorder.constants if tensor.name in read],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _needed(nodes: list[onnx.NodeProto], wanted: set[str]) -> tuple[list[onnx.NodeProto], set[str]]:
    """Return the nodes that `wanted` depends on, and the names of everything that is read or wanted."""
    needed = set(wanted)
    kept = []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1], needed


class _Recorder(TorchDispatchMode):
    """Notes what makes the tensors that follow from given ones."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self._names: dict[_Key, str] = {}
        self._kept: list[Tensor] = []  # so that no other tensor gets its storage's address
        for name, tensor in state.items():
            self._note(tensor, name)

    def name_of(self, tensor: Tensor) -> tuple[str, tuple[int, ...]]:
        """Return a tensor's name in the graph, and its shape; raises ExportError if nothing known made it."""
        name = self._names.get(_key(tensor))
        if name is None:
            raise ExportError(f"a weight of shape {tuple(tensor.shape)} is made by operations that no plan records")
        return name, tuple(tensor.shape)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        kind = str(func)
        known = [self._names[_key(each)] for each in _tensors(args) if _key(each) in self._names]
        if kind == "aten.full.default" and len(args[0]) > 1:
            self._constant(result, np.full(args[0], args[1], np.float32))
        elif known and kind not in _SAME:
            self._record(kind, known, args, kwargs or {}, result)
        return result

    def _record(self, kind: str, known: list[str], args: Any, kwargs: Mapping[str, Any], result: Any) -> None:
        if kind == "aten.split.Tensor":
            axis = args[2] if len(args) > 2 else kwargs.get("dim", 0)
            for index, part in enumerate(result):
                self._slice(known[0], part, axis, index * args[1], index * args[1] + part.shape[axis])
        elif kind == "aten.slice.Tensor":
            axis, start, end = (*args[1:], *(0, None, None)[len(args) - 1 :])[:3]
            if _key(result) not in self._names:
                self._slice(known[0], result, axis, start or 0, _TO_THE_END if end is None else end)
        elif kind == "aten.mv.default":
            self._node("MatMul", known, result)
        elif kind in ("aten.mul.Tensor", "aten.add.Tensor"):
            operator = "Mul" if "mul" in kind else "Add"
            if not isinstance(args[1], Tensor):
                known = [*known, self._number(float(args[1]))]
            elif isinstance(args[0], Tensor) and len(known) < 2:
                raise ExportError(f"a weight is made by {kind} with a tensor that no plan records")
            self._node(operator, known, result)
        elif kind == "aten._to_copy.default" and kwargs["dtype"] in _KINDS:
            self._node("Cast", known, result, to=_KINDS[kwargs["dtype"]])
        elif kind == "aten.unsqueeze.default":
            self._node("Unsqueeze", [known[0], self._integers([args[1]])], result)
        elif kind == "aten.cat.default":
            self._node("Concat", known, result, axis=args[1] if len(args) > 1 else 0)
        elif kind == "aten.constant_pad_nd.default":
            # PyTorch pads the last dimension first, ONNX states all beginnings and then all ends.
            pairs = [(0, 0)] * (result.dim() - len(args[1]) // 2)
            pairs += list(zip(args[1][::2], args[1][1::2], strict=True))[::-1]
            self._node("Pad", [known[0], self._integers([a for a, _ in pairs] + [b for _, b in pairs])], result)
        else:
            raise ExportError(f"a weight is made by {kind}, which no plan records")

    def _slice(self, name: str, result: Tensor, axis: int, start: int, end: int) -> None:
        limits = [self._integers([number]) for number in (start, end, axis)]
        self._node("Slice", [name, *limits], result)

    def _node(self, kind: str, inputs: list[str], result: Tensor, **attributes: Any) -> None:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self._note(result, name)

    def _constant(self, tensor: Tensor, values: np.ndarray) -> None:
        if not math.prod(values.shape):
            return
        first = values.flat[0]
        # As an operator: a tensor of one value many times would take as many bytes.
        name = f"t{len(self.nodes)}"
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [float(first)])
        shape = self._integers(list(values.shape))
        self.nodes.append(helper.make_node("ConstantOfShape", [shape], [name], value=value))
        self._note(tensor, name)

    def _integers(self, numbers: list[int]) -> str:
        return self._store(np.array(numbers, np.int64))

    def _number(self, number: float) -> str:
        return self._store(np.array(number, np.float32))

    def _store(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        tensor = numpy_helper.from_array(array, name)
        for other in self.constants:
            if (other.data_type, other.dims, other.raw_data) == (tensor.data_type, tensor.dims, tensor.raw_data):
                return other.name
        self.constants.append(tensor)
        return name

    def _note(self, tensor: Tensor, name: str) -> None:
        self._names[_key(tensor)] = name
        self._kept.append(tensor)


def _key(tensor: Tensor) -> _Key:
    storage = tensor.untyped_storage()._cdata
    return storage, tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride())


def _tensors(args: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for each in args:
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, list | tuple):
            found += _tensors(each)
    return found
