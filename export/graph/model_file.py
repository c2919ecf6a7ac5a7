"""Writes a graph with its weights: one ONNX file, with a data file beside it beyond protobuf's 2 GiB."""

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from onnx import helper

from metric3d_export.graph.stored_weights import OnBytes, Weight, write_beside, write_inline
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
    model: onnx.ModelProto,
    weights: Sequence[Weight],
    path: Path,
    *,
    short_names: bool = False,
    inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    on_bytes: OnBytes = lambda count: None,
) -> StoredModel:
    """Write the graph to `path`, with the weights that it reads as initializers.

    Args:
        model: the graph without its weights; it is consumed.
        weights: by the names that the graph reads them by.
        short_names: number the tensors, and drop the operators' names: in a small model they are 4 % of the file.
        on_bytes: called with the number of bytes stored, weight by weight.
    """
    if short_names:
        shorten_names(model.graph, weights)
    operators = Counter(node.op_type for node in model.graph.node)
    if sum(weight.stored_bytes for weight in weights) <= inline_limit_bytes:
        return StoredModel(path, None, write_inline(path, model, weights, on_bytes), operators)
    data_path = data_path_of(path)
    return StoredModel(path, data_path, write_beside(path, data_path, model, weights, on_bytes), operators)


def check_model_file(path: Path) -> None:
    """Run ONNX's full check, shape inference included, on a model file; raises ExportError with its reason."""
    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())
        raise ExportError(f"the exported graph is not valid ONNX: {reason}") from error


def shorten_names(graph: onnx.GraphProto, weights: Sequence[Weight]) -> None:
    short = {value.name: value.name for value in (*graph.input, *graph.output)}
    for tensor in (*graph.initializer, *weights):
        short[tensor.name] = f"w{len(short)}"
        tensor.name = short[tensor.name]
    for node in graph.node:
        node.ClearField("name")
        outputs = [short.setdefault(name, f"t{len(short)}") for name in node.output]
        inputs = [short[name] if name else "" for name in node.input]
        node.input[:], node.output[:] = inputs, outputs
