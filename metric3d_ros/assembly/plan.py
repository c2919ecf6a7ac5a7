"""A plan: the graph of a model file without its weights, and how each weight follows from the published tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.assembly.plan_files import PlanPart, read_part
from metric3d_ros.engine.protobuf import AnyField, read_all_fields, write_field, write_number
from metric3d_ros.engine.small_graphs import run_once
from metric3d_ros.errors import ModelError

Array = npt.NDArray[Any]

# Numbers of the fields of onnx.proto's messages.
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_PROPERTY = 1, 7, 8, 14
_GRAPH_NODE, _GRAPH_NAME, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4
_TENSOR_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_TYPE_KIND, _TENSOR_TYPE_SHAPE, _SHAPE_SIDE, _SIDE_VALUE = 1, 1, 2, 1, 1

FLOAT, FLOAT16 = 1, 10
"""ONNX's numbers of the two types that weights are stored as."""

_OUT = "out."
"""What precedes the name of a stored weight among the outputs of the preparations."""
_IR_VERSION = 8


@dataclass(frozen=True)
class TensorType:
    """Name, type and shape of a tensor that a graph declares."""

    name: str
    kind: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Node:
    content: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operator: str


class Plan:
    """The plan of one variant in one precision.

    Attributes:
        sha256: of both parts.
        stored: the weights of the model file, in the file's order.
        published: the tensors of a checkpoint that are read, by name.
        facts: what the exporter noted of the variant.
        model_head: the model file up to its graph, as protobuf's bytes.
        graph: the graph without weights, as protobuf's bytes.
    """

    def __init__(self, graph: bytes, preparations: bytes) -> None:
        """Read the two ONNX files. Raises ValueError for what is no plan."""
        self.sha256 = hashlib.sha256(graph + preparations).hexdigest()
        self._read_preparations(preparations)
        self._read_graph(graph)

    def _read_preparations(self, data: bytes) -> None:
        self._opsets = b""
        self.facts: dict[str, str] = {}
        graph: AnyField | None = None
        for field in read_all_fields(data, 0, len(data)):
            if field.number == _MODEL_OPSET:
                self._opsets += data[field.key_start : field.end]
            elif field.number == _MODEL_PROPERTY:
                pair = {each.number: data[each.start : each.end].decode() for each in _inner(data, field)}
                self.facts[pair[1]] = pair.get(2, "")
            elif field.number == _MODEL_GRAPH:
                graph = field
        if graph is None:
            raise ValueError("the preparations are missing")
        self._maker: dict[str, _Node] = {}
        self._constants: dict[str, bytes] = {}
        self._declared: dict[str, bytes] = {}
        self.published: dict[str, TensorType] = {}
        self.stored: list[TensorType] = []
        for field in _inner(data, graph):
            content = data[field.start : field.end]
            if field.number == _GRAPH_NODE:
                node = _read_node(content)
                self._maker.update(dict.fromkeys(node.outputs, node))
            elif field.number == _GRAPH_INITIALIZER:
                self._constants[_text(content, _TENSOR_NAME)] = content
            elif field.number in (_GRAPH_INPUT, _GRAPH_OUTPUT):
                declared = _read_type(content)
                self._declared[declared.name] = content
                if field.number == _GRAPH_INPUT:
                    self.published[declared.name] = declared
                else:
                    self.stored.append(TensorType(declared.name.removeprefix(_OUT), declared.kind, declared.shape))

    def _read_graph(self, data: bytes) -> None:
        stored = {tensor.name: tensor for tensor in self.stored}
        self.model_head = self.graph = b""
        images = set()
        for field in read_all_fields(data, 0, len(data)):
            if field.number != _MODEL_GRAPH:
                self.model_head += data[field.key_start : field.end]
                continue
            kept = []
            for part in _inner(data, field):
                if part.number == _GRAPH_INPUT:
                    declared = _read_type(data[part.start : part.end])
                    if stored.pop(declared.name, None) == declared:
                        continue
                    images.add(declared.name)
                kept.append(data[part.key_start : part.end])
            self.graph = b"".join(kept)
        if stored or images != {model_contract.IMAGE, model_contract.FOCAL_LENGTH}:
            raise ValueError("its graph takes other weights than its preparations make")

    def prepare(self, stored: TensorType, tensors: Mapping[str, Array]) -> Array:
        """Return a weight as it is stored, made of published tensors (float32, by name)."""
        wanted = _OUT + stored.name
        node = self._maker[wanted]
        if node.operator == "Identity" and node.inputs[0] in tensors:
            return tensors[node.inputs[0]]
        nodes = self._nodes_of(wanted)
        read = [name for each in nodes for name in each.inputs]
        inputs = {name: tensors[name] for name in dict.fromkeys(read) if name in self.published}
        constants = [self._constants[name] for name in dict.fromkeys(read) if name in self._constants]
        graph = b"".join(
            [
                *(write_field(_GRAPH_NODE, each.content) for each in nodes),
                write_field(_GRAPH_NAME, b"preparation"),
                *(write_field(_GRAPH_INITIALIZER, constant) for constant in constants),
                *(write_field(_GRAPH_INPUT, self._declared[name]) for name in inputs),
                write_field(_GRAPH_OUTPUT, self._declared[wanted]),
            ]
        )
        model = write_number(_MODEL_IR, _IR_VERSION) + self._opsets + write_field(_MODEL_GRAPH, graph)
        (made,) = run_once(model, inputs)
        return made

    def _nodes_of(self, output: str) -> list[_Node]:
        """Return the operators that an output depends on, each after those that it reads."""
        found: dict[int, _Node] = {}

        def add(name: str) -> None:
            node = self._maker.get(name)
            if node is not None and id(node) not in found:
                for each in node.inputs:
                    add(each)
                found[id(node)] = node

        add(output)
        return list(found.values())


def load_plan(variant: str, precision: str) -> Plan:
    """Return a plan of the package, whose two parts fit each other; see `plan_files` for the precisions.

    Raises:
        ModelError: it is missing or damaged, or is one of another version.
    """
    try:
        plan = Plan(*(read_part(variant, precision, part) for part in (PlanPart.GRAPH, PlanPart.PREPARATIONS)))
        if (plan.facts["variant"], plan.facts["precision"]) != (variant, precision) or not plan.graph:
            raise ValueError("it is of another network")
    except (ValueError, KeyError) as error:
        raise ModelError(
            f"the plan of {variant} in {precision} is damaged or of another version ({error}): install metric3d_ros "
            "again"
        ) from error
    return plan


def _inner(data: bytes, field: AnyField) -> Iterator[AnyField]:
    return read_all_fields(data, field.start, field.end)


def _text(data: bytes, number: int) -> str:
    for field in read_all_fields(data, 0, len(data)):
        if field.number == number:
            return data[field.start : field.end].decode()
    raise ValueError("a tensor has no name")


def _read_node(data: bytes) -> _Node:
    texts: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_OPERATOR: []}
    for field in read_all_fields(data, 0, len(data)):
        if field.number in texts:
            texts[field.number].append(data[field.start : field.end].decode())
    return _Node(data, tuple(texts[_NODE_INPUT]), tuple(texts[_NODE_OUTPUT]), "".join(texts[_NODE_OPERATOR]))


def _read_type(data: bytes) -> TensorType:
    kind, shape = 0, []
    for outer in read_all_fields(data, 0, len(data)):
        if outer.number != _VALUE_TYPE:
            continue
        for middle in _inner(data, outer):
            for field in _inner(data, middle) if middle.number == _TYPE_TENSOR else ():
                if field.number == _TENSOR_TYPE_KIND:
                    kind = field.value or 0
                elif field.number == _TENSOR_TYPE_SHAPE:
                    shape = [
                        next((each.value or 0 for each in _inner(data, side) if each.number == _SIDE_VALUE), 0)
                        for side in _inner(data, field)
                    ]
    return TensorType(_text(data, _VALUE_NAME), kind, tuple(shape))
