"""Writes a model's weights one at a time, into the ONNX file itself or into a data file beside it.

protobuf would hold the weights twice more in memory: as messages, and as the bytes of the file.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import TensorProto
from torch import Tensor

from metric3d_ros.engine.protobuf import write_field_start

OnBytes = Callable[[int], object]

_PAGE_BYTES = 4096  # ONNX Runtime memory-maps external tensors if they start on a page

UINT8_ZERO = 128
"""What 0 is stored as in a weight of unsigned bytes."""

_NUMPY_KINDS = {TensorProto.FLOAT: "<f4", TensorProto.FLOAT16: "<f2", TensorProto.UINT8: "u1"}


@dataclasses.dataclass
class Weight:
    """A tensor to store as an initializer of the graph."""

    name: str
    tensor: Tensor  # float32
    kind: int = TensorProto.FLOAT
    """How it is stored: `TensorProto.FLOAT`, `FLOAT16`, or `UINT8`, which needs `scale`."""
    scale: Tensor | None = None
    """float32, of a shape that broadcasts: a weight is stored as round(weight / scale) + `UINT8_ZERO`."""

    @property
    def stored_bytes(self) -> int:
        return self.tensor.numel() * np.dtype(_NUMPY_KINDS[self.kind]).itemsize

    def header(self) -> TensorProto:
        """Return the initializer without its values."""
        return TensorProto(name=self.name, data_type=self.kind, dims=self.tensor.shape)

    def write_values(self, file: BinaryIO) -> None:
        """Write the values as ONNX wants raw data: row by row, little-endian."""
        tensor = self.tensor.detach()
        if self.scale is not None:
            tensor = (tensor / self.scale).round_().add_(UINT8_ZERO).clamp_(0, 255)
        file.write(np.ascontiguousarray(tensor.numpy(), _NUMPY_KINDS[self.kind]).data)


def write_inline(path: Path, model: onnx.ModelProto, weights: Sequence[Weight], on_bytes: OnBytes) -> int:
    """Write the model with its weights in it; return the file's length. The model is consumed.

    A protobuf message is its fields in a row, each a key, a length and that many bytes; so the weights can follow the
    rest of the graph as it was serialised.
    """
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    heads = []
    for weight in weights:
        head = weight.header().SerializeToString()
        head += write_field_start(TensorProto.RAW_DATA_FIELD_NUMBER, weight.stored_bytes)
        length = len(head) + weight.stored_bytes
        heads.append(write_field_start(onnx.GraphProto.INITIALIZER_FIELD_NUMBER, length) + head)
    graph_bytes = len(graph) + sum(map(len, heads)) + sum(weight.stored_bytes for weight in weights)
    with path.open("wb") as file:
        file.write(model.SerializeToString())
        file.write(write_field_start(onnx.ModelProto.GRAPH_FIELD_NUMBER, graph_bytes))
        file.write(graph)
        for head, weight in zip(heads, weights, strict=True):
            file.write(head)
            weight.write_values(file)
            on_bytes(weight.stored_bytes)
        return file.tell()


def write_beside(
    path: Path, data_path: Path, model: onnx.ModelProto, weights: Sequence[Weight], on_bytes: OnBytes
) -> int:
    """Write the model to `path` and its weights to `data_path`; return the length of the former."""
    with data_path.open("wb") as data:
        for weight in weights:
            data.write(b"\0" * (-data.tell() % _PAGE_BYTES))
            place = {"location": data_path.name, "offset": data.tell(), "length": weight.stored_bytes}
            header = weight.header()
            header.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                header.external_data.add(key=key, value=str(value))
            model.graph.initializer.append(header)
            weight.write_values(data)
            on_bytes(weight.stored_bytes)
    return path.write_bytes(model.SerializeToString())
