"""Stores a traced graph with its weights: one ONNX file, with a data file beside it beyond protobuf's 2 GiB."""

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import helper
from torch import Tensor

from metric3d_export.graph.tracing import WEIGHT_PREFIX, TracedGraph
from metric3d_export.precision.precision import PRECISIONS
from metric3d_export.precision.weight_streams import OnBytes, Weight, write_beside, write_inline
from metric3d_ros.errors import ExportError
from metric3d_ros.model_contract import METADATA_PREFIX, Metadata

INLINE_LIMIT_BYTES = 1_900_000_000
"""Models with more bytes of weights than this keep them in a file beside; protobuf ends at 2 GiB."""


@dataclasses.dataclass(frozen=True)
class StoredModel:
    """A written model file, and where its metadata starts."""

    path: Path
    data_path: Path | None
    body_bytes: int
    operators: Counter[str]
    """How many there are of each."""

    @property
    def bytes(self) -> int:
        """Of the model and its data file."""
        return sum(file.stat().st_size for file in (self.path, self.data_path) if file is not None)

    def write_metadata(self, metadata: Metadata, *, notes: Mapping[str, str] | None = None) -> None:
        """Write the metadata, or write it again; `notes` are further properties, prefixed like the metadata.

        They are the file's last bytes: protobuf reads concatenated messages as one, so that the measured difference
        can be noted after verification without writing the weights a second time.
        """
        properties = onnx.ModelProto()
        prefixed = {METADATA_PREFIX + name: note for name, note in (notes or {}).items()}
        helper.set_model_props(properties, metadata.to_properties() | prefixed)
        with self.path.open("r+b") as file:
            file.truncate(self.body_bytes)
            file.seek(self.body_bytes)
            file.write(properties.SerializeToString())


def data_path_of(path: Path) -> Path:
    """Return where the weights of the model file `path` are, if they are not in it."""
    return path.with_name(path.name + ".data")


def store_model(
    traced: TracedGraph,
    path: Path,
    *,
    precision: str = "fp32",
    inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    on_bytes: OnBytes = lambda count: None,
) -> StoredModel:
    """Turn the graph's weight inputs into initializers and write the model to `path`.

    Args:
        traced: from `graph.trace_graph`; it is consumed.
        precision: a key of `precision.PRECISIONS`, which says what is rewritten.
        on_bytes: called with the number of bytes stored, weight by weight.
    """
    graph_model, graph = traced.model, traced.model.graph
    arrays = _transpose_at_rest(graph_model, traced.weights)
    inputs = [value for value in graph.input if not value.name.startswith(WEIGHT_PREFIX)]
    del graph.input[:]
    graph.input.extend(inputs)

    stored = PRECISIONS[precision].rewrite(graph_model, arrays)
    if precision != "fp32":
        _shorten_names(graph, stored)
    operators = Counter(node.op_type for node in graph.node)

    if sum(weight.stored_bytes for weight in stored) <= inline_limit_bytes:
        return StoredModel(path, None, write_inline(path, graph_model, stored, on_bytes), operators)
    data_path = data_path_of(path)
    return StoredModel(path, data_path, write_beside(path, data_path, graph_model, stored, on_bytes), operators)


def check_model_file(path: Path) -> None:
    """Run ONNX's full check, shape inference included, on a model file; raises ExportError with its reason."""
    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"the exported graph is not valid ONNX: {reason}") from error


def _transpose_at_rest(model: onnx.ModelProto, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Store matrices transposed where the graph would transpose them at every run."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    stored: dict[str, Tensor] = {}
    needless = []
    for name, tensor in tensors.items():
        reading = readers[name]
        if tensor.dim() == 2 and all(node.op_type == "Transpose" for node in reading):
            needless += reading
            for node in reading[1:]:
                _rename_input(readers, node.output[0], reading[0].output[0])
            stored[reading[0].output[0]] = tensor.t()
        else:
            stored[name] = tensor
    for node in needless:
        model.graph.node.remove(node)
    return stored


def _rename_input(readers: Mapping[str, list[onnx.NodeProto]], old: str, new: str) -> None:
    for node in readers[old]:
        for index, name in enumerate(node.input):
            if name == old:
                node.input[index] = new


def _shorten_names(graph: onnx.GraphProto, weights: list[Weight]) -> None:
    """Number the tensors, and drop the operators' names: in a small model they are 4 % of the file."""
    short = {value.name: value.name for value in (*graph.input, *graph.output)}
    for tensor in (*graph.initializer, *weights):
        short[tensor.name] = f"w{len(short)}"
        tensor.name = short[tensor.name]
    for node in graph.node:
        node.ClearField("name")
        outputs = [short.setdefault(name, f"t{len(short)}") for name in node.output]
        inputs = [short[name] if name else "" for name in node.input]
        node.input[:], node.output[:] = inputs, outputs
