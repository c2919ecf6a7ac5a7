"""Rewrites a float32 graph for CPUs: matrix products in 8 bits, all other large weights stored in 8 bits."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from metric3d_export.graph.stored_weights import UINT8_ZERO, Weight
from metric3d_export.graph.tracing import TracedGraph
from metric3d_export.network.roles import NO_ROLE, Place, Role
from metric3d_export.precision.float16 import keeps_weights
from metric3d_export.precision.weight_rounding import MOST_STEPS

_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}  # of the output channels in the weight
_ZERO = "uint8.zero"
_ZERO_AS_FLOAT = "uint8.zero.float"


def compute_in_bytes(traced: TracedGraph) -> list[Weight]:
    """Rewrite the graph in place; return what to store.

    Products with a weight matrix quantise what they read by its own range at every run, and add up in integers.
    Convolutions have no fast 8-bit form with ranges found at run time, so they read their kernels as float32 again,
    which ONNX Runtime computes once, when a session starts. Each output channel has a scale of its own. Weights are
    unsigned bytes around 128, since pairs of products of signed ones overflow on CPUs without VNNI.
    """
    graph = traced.model.graph
    readers: dict[str, list[onnx.NodeProto]] = {name: [] for name in traced.weights}
    for node in graph.node:
        for name in set(node.input) & readers.keys():
            readers[name].append(node)
    stored, nodes = [], []
    matrices = set()
    for name, tensor in traced.weights.items():
        kinds = {node.op_type for node in readers[name] if list(node.input).index(name) == 1}
        place = traced.weight_places[name]
        if _is_stored_whole(tensor, place) or len(kinds) != 1 or not kinds <= _CHANNEL_AXIS.keys():
            stored.append(Weight(name, tensor))
            continue
        kind = kinds.pop()
        scale = channel_scales(tensor, _CHANNEL_AXIS[kind])
        stored += [Weight(f"{name}.uint8", tensor, TensorProto.UINT8, scale), Weight(f"{name}.scale", scale)]
        if kind == "MatMul":
            matrices.add(name)
        else:
            nodes += _read_as_float(name)
    quantised: set[str] = set()
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in matrices:
            nodes += _multiply_in_integers(node, quantised)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    for name, kind in ((_ZERO, np.uint8), (_ZERO_AS_FLOAT, np.float32)):
        graph.initializer.append(numpy_helper.from_array(np.array(UINT8_ZERO, kind), name))
    return stored


def channel_scales(tensor: Tensor, axis: int) -> Tensor:
    """Return the step of each channel along `axis` (see `weight_rounding.Steps`)."""
    others = [dim for dim in range(tensor.dim()) if dim != axis]
    largest = tensor.detach().abs().amax(dim=others, keepdim=True)
    return (largest / MOST_STEPS).clamp_min(torch.finfo(torch.float32).tiny)


def read_back(name: str, tensor: Tensor, axis: int, place: Place = NO_ROLE) -> Tensor:
    """Return the values that the file gives back for a weight (see `weight_rounding.ReadBack`)."""
    # Those of recurrent units are stored in parts, with steps of their own.
    if _is_stored_whole(tensor, place) or Role.RECURRENT in place.around:
        return tensor
    scale = channel_scales(tensor, axis)
    return (tensor / scale).round_() * scale


def _is_stored_whole(tensor: Tensor, place: Place) -> bool:
    """Whether a weight stays float32; its values do not matter, which are others once they are rounded."""
    return tensor.dim() < 2 or keeps_weights(place)


def _read_as_float(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [f"{name}.uint8"], [f"{name}.steps"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{name}.steps", _ZERO_AS_FLOAT], [f"{name}.centred"]),
        helper.make_node("Mul", [f"{name}.centred", f"{name}.scale"], [name]),
    ]


def _multiply_in_integers(node: onnx.NodeProto, quantised: set[str]) -> list[onnx.NodeProto]:
    (read, weight), (result,) = node.input, node.output
    values, step, zero = (f"{read}.{part}" for part in ("uint8", "step", "zero"))
    made = [] if read in quantised else [helper.make_node("DynamicQuantizeLinear", [read], [values, step, zero])]
    quantised.add(read)
    return [
        *made,
        helper.make_node("MatMulInteger", [values, f"{weight}.uint8", zero, _ZERO], [f"{result}.sum"]),
        helper.make_node("Cast", [f"{result}.sum"], [f"{result}.steps"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [step, f"{weight}.scale"], [f"{result}.scale"]),
        helper.make_node("Mul", [f"{result}.steps", f"{result}.scale"], [result]),
    ]
