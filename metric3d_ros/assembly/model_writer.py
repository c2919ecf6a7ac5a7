"""Writes a model file: a plan's graph, and its weights one after another, in the file or in a data file beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.assembly.plan import FLOAT16, Plan, TensorType
from metric3d_ros.engine.protobuf import write_field, write_field_start, write_number
from metric3d_ros.model_contract import METADATA_PREFIX, Metadata

INLINE_LIMIT_BYTES = 1_900_000_000
"""Models with more bytes of weights than this keep them in a file beside; protobuf ends at 2 GiB."""

_MODEL_GRAPH, _MODEL_PROPERTY, _GRAPH_INITIALIZER = 7, 14, 5
_TENSOR_DIMS, _TENSOR_KIND, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 2, 8, 9, 13, 14
_EXTERNAL = 1
_PAGE_BYTES = 4096  # ONNX Runtime maps external tensors into memory where they start on a page

MakeWeight = Callable[[TensorType], npt.NDArray[Any]]


def data_path_of(path: Path) -> Path:
    """Return where the weights of the model file `path` are, if they are not in it."""
    return path.with_name(path.name + ".data")


def stored_bytes(plan: Plan) -> int:
    """Return how many bytes the weights of a plan take."""
    return sum(_bytes(tensor) for tensor in plan.stored)


def write_model(plan: Plan, path: Path, make_weight: MakeWeight, *, inline_limit: int = INLINE_LIMIT_BYTES) -> int:
    """Write a model file; return the length up to where its metadata goes."""
    if stored_bytes(plan) > inline_limit:
        return _write_beside(plan, path, make_weight)
    heads = []
    for tensor in plan.stored:
        head = _header(tensor) + write_field_start(_TENSOR_RAW, _bytes(tensor))
        heads.append(write_field_start(_GRAPH_INITIALIZER, len(head) + _bytes(tensor)) + head)
    graph_bytes = len(plan.graph) + sum(map(len, heads)) + stored_bytes(plan)
    with path.open("wb") as file:
        file.write(plan.model_head + write_field_start(_MODEL_GRAPH, graph_bytes) + plan.graph)
        for head, tensor in zip(heads, plan.stored, strict=True):
            file.write(head)
            file.write(_values(tensor, make_weight))
        return file.tell()


def _write_beside(plan: Plan, path: Path, make_weight: MakeWeight) -> int:
    data_path = data_path_of(path)
    initializers = []
    with data_path.open("wb") as data:
        for tensor in plan.stored:
            data.write(b"\0" * (-data.tell() % _PAGE_BYTES))
            place = {"location": data_path.name, "offset": data.tell(), "length": _bytes(tensor)}
            entries = (
                write_field(_TENSOR_EXTERNAL, write_field(1, key.encode()) + write_field(2, str(value).encode()))
                for key, value in place.items()
            )
            header = _header(tensor) + b"".join(entries) + write_number(_TENSOR_LOCATION, _EXTERNAL)
            initializers.append(write_field(_GRAPH_INITIALIZER, header))
            data.write(_values(tensor, make_weight))
    return path.write_bytes(plan.model_head + write_field(_MODEL_GRAPH, plan.graph + b"".join(initializers)))


def write_metadata(path: Path, body_bytes: int, metadata: Metadata, notes: dict[str, str]) -> None:
    """Write the metadata at the end of a model file, over those that it has: protobuf joins concatenated messages."""
    properties = metadata.to_properties() | {METADATA_PREFIX + name: note for name, note in notes.items() if note}
    with path.open("r+b") as file:
        file.truncate(body_bytes)
        file.seek(body_bytes)
        for key, value in properties.items():
            file.write(write_field(_MODEL_PROPERTY, write_field(1, key.encode()) + write_field(2, value.encode())))


def _header(tensor: TensorType) -> bytes:
    dims = b"".join(write_number(_TENSOR_DIMS, side) for side in tensor.shape)
    return dims + write_number(_TENSOR_KIND, tensor.kind) + write_field(_TENSOR_NAME, tensor.name.encode())


def _bytes(tensor: TensorType) -> int:
    return math.prod(tensor.shape) * (2 if tensor.kind == FLOAT16 else 4)


def _values(tensor: TensorType, make_weight: MakeWeight) -> memoryview:
    values = np.ascontiguousarray(make_weight(tensor), "<f2" if tensor.kind == FLOAT16 else "<f4")
    if values.shape != tensor.shape:
        raise ValueError(f"{tensor.name} became {values.shape}, expected {tensor.shape}")
    return values.data
