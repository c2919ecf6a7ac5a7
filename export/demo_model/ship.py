"""`python -m metric3d_export.demo_model.ship`: writes trained weights into the package's model file, or reads them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from metric3d_export.exporter import export_model
from metric3d_export.graph.tracing import trace_graph
from metric3d_export.network.variants import build_network
from metric3d_export.precision.precisions import rewrite_and_store
from metric3d_export.progress import Progress
from metric3d_export.weights.checkpoints import load_network, read_checkpoint
from metric3d_ros.engine import DEMO_MODEL_PATH
from metric3d_ros.errors import CheckpointError, Metric3DError
from metric3d_ros.files.atomic import scratch_folder
from metric3d_ros.model_contract import DEMO_WEIGHTS, METADATA_PREFIX
from metric3d_ros.program import program

VARIANT = "lite_demo"
DESCRIPTION = (
    "small, trained on rendered rooms and streets with an encoder that has seen photographs, for trying and testing "
    "the pipeline, not for robots"
)
TRAINING_SIZE_HW = (252, 336)
SIZES_HW = ((252, 336), (168, 280), (240, 320), (480, 640))
MAX_BYTES = 12_000_000
MOST_OF_A_BIAS, MOST_OF_A_WEIGHT = 1e-2, 5e-4
"""Maximum difference of a shipped value from the trained one, relative to its tensor's largest (biases: at least 1)."""


def ship(weights: Path, model: Path) -> None:
    """Export the weights of a training as a verified model file with its description.

    Raises CheckpointError for unreadable weights, ExportError when the file differs from PyTorch.
    """
    trained = read_checkpoint(weights)
    network, _ = load_network(VARIANT, trained)
    export_model(
        network,
        model,
        precision="fp32-half-weights",
        weights_file=DEMO_WEIGHTS,
        training_size_hw=TRAINING_SIZE_HW,
        overwrite=True,
        verified_sizes_hw=SIZES_HW,
        progress=Progress(),
    )
    note = onnx.ModelProto()
    helper.set_model_props(note, {f"{METADATA_PREFIX}description": DESCRIPTION})
    with model.open("ab") as file:  # protobuf reads concatenated messages as one
        file.write(note.SerializeToString())
    size = model.stat().st_size
    if size > MAX_BYTES:
        raise Metric3DError(f"{model} has {size} bytes, expected at most {MAX_BYTES}: a package should not be larger")
    for name, tensor in read_weights(model).items():
        # Biases compensate the rounding of the weights (see `weight_rounding`), and are no longer the trained ones.
        expected = trained.tensors[name].float()
        largest = float(expected.abs().max())
        atol = MOST_OF_A_BIAS * max(1.0, largest) if name.endswith(".bias") else MOST_OF_A_WEIGHT * largest
        if not torch.allclose(tensor, expected, rtol=1e-3, atol=atol):
            raise Metric3DError(f"{model}: {name} cannot be read back, expected what {weights} holds: report this")
    print(f"{model}: {size / 2**20:.2f} MiB")


def read_weights(model: Path) -> dict[str, Tensor]:
    """Return the weights in a model file of ours, under the network's own names, float32.

    Its metadata name the variant. The file holds the weights in the order of the traced graph, some transposed.
    Tracing the network again with each weight replaced by its own number reveals where everything went. Raises
    CheckpointError when file and network disagree.
    """
    stored_model = onnx.load(model)
    variant = next((p.value for p in stored_model.metadata_props if p.key == f"{METADATA_PREFIX}variant"), VARIANT)
    network = build_network(variant)
    state = network.state_dict()
    sizes = [tensor.numel() for tensor in state.values()]
    total = sum(sizes)
    if total + 1 >= 2**24:
        raise CheckpointError(f"{variant} has {total} weights, which float32 cannot number")
    numbers = torch.arange(1, total + 1, dtype=torch.float32)
    numbered = {
        name: part.view_as(tensor) for (name, tensor), part in zip(state.items(), numbers.split(sizes), strict=True)
    }
    network.load_state_dict(numbered)  # the tracer merges weights that are equal, as many initial ones are
    traced = trace_graph(network, scales_in_weights=False)
    count = len(traced.weights)
    with scratch_folder("metric3d_numbered") as folder:
        rewrite_and_store(traced, folder / "numbered.onnx")
        # The weights come last, after the graph's own constants.
        places = onnx.load(folder / "numbered.onnx").graph.initializer[-count:]
    stored = stored_model.graph.initializer[-count:]
    values = torch.full((total + 1,), torch.nan)
    for place, tensor in zip(places, stored, strict=False):
        where, what = numpy_helper.to_array(place), numpy_helper.to_array(tensor)
        if where.shape != what.shape or len(places) != len(stored):
            raise CheckpointError(
                f"{model} holds {len(stored)} weights, one of shape {what.shape}, expected {len(places)} and "
                f"{where.shape}: read it with the version that wrote it"
            )
        numbered_ones = where > 0  # a form also has weights of its own, 0 and -1
        values[torch.from_numpy(where[numbered_ones].astype(np.int64))] = torch.from_numpy(
            what[numbered_ones].astype(np.float32)
        )
    found = {
        name: part.view_as(tensor) for (name, tensor), part in zip(state.items(), values[1:].split(sizes), strict=True)
    }
    # What the graph never reads is not in the file; what has two names is there under one of them.
    known = {name: tensor for name, tensor in found.items() if not tensor.isnan().any()}
    by_storage = {state[name].data_ptr(): tensor for name, tensor in known.items()}
    return known | {
        name: by_storage[tensor.data_ptr()] for name, tensor in state.items() if tensor.data_ptr() in by_storage
    }


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Ship the weights of a training; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.demo_model.ship", description=__doc__)
    parser.add_argument("--weights", type=Path, default=Path(".cache/demo_model/weights.pt"))
    parser.add_argument("-o", "--output", type=Path, default=DEMO_MODEL_PATH)
    options = parser.parse_args(arguments)
    ship(options.weights, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
