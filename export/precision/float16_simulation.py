"""Rewrites a float16 file so that a CPU rounds as a GPU would: after every operator, to infinity beyond 65504.

ONNX Runtime computes float16 operators on a CPU as float32, and drops the roundings between them.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

_ROUNDED_BEFORE = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Relu", "Reshape", "Slice", "Split"}
    | {"Squeeze", "Transpose", "Unsqueeze", "Where"}
)
"""Operators whose results are values they read, or zero, so that there is nothing to round."""

_NOT_OF_ITS_INPUTS_TYPE = frozenset({"Cast", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Shape"})


def simulate_half(path: Path, target: Path) -> None:
    """Write to `target`, in the same directory, the model that computes in float32 what `path` computes in float16.

    Each result that is float16 there is rounded to float16 here. Inside an operator sums are float32 in both.
    """
    model = onnx.load(path, load_external_data=False)  # the weights, if they are beside, stay there for both
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    halves = set(weights)
    nodes = []
    for tensor in graph.initializer:
        if tensor.name in weights:
            tensor.name += ".stored"
            nodes.append(_cast(tensor.name, tensor.name.removesuffix(".stored"), TensorProto.FLOAT))
    for node in graph.node:
        to = next((attribute.i for attribute in node.attribute if attribute.name == "to"), None)
        if node.op_type == "Cast" and to == TensorProto.FLOAT16:
            halves.add(node.output[0])
            nodes += _rounding(node.input[0], node.output[0])
        elif node.op_type == "Cast" and node.input[0] in halves and to == TensorProto.FLOAT:
            nodes.append(helper.make_node("Identity", node.input, node.output))
        elif node.op_type in _NOT_OF_ITS_INPUTS_TYPE or halves.isdisjoint(node.input):
            nodes.append(node)
        else:
            outputs = list(node.output)
            halves.update(outputs)
            nodes.append(node)
            if node.op_type not in _ROUNDED_BEFORE:
                for i, name in enumerate(outputs):
                    node.output[i] = f"{name}.exact"
                    nodes += _rounding(node.output[i], name)
    nodes = [_copy(node) for node in nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    onnx.save(model, target)


def _rounding(exact: str, result: str) -> list[onnx.NodeProto]:
    return [_cast(exact, f"{result}.half", TensorProto.FLOAT16), _cast(f"{result}.half", result, TensorProto.FLOAT)]


def _cast(name: str, result: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [result], to=kind)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied
