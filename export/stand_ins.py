"""Models for timing: one network with stand-in weights in several forms and precisions, in seconds.

`python -m metric3d_export.stand_ins VARIANT FORM:PRECISION ... --folder FOLDER --work 616x1064` prints a line of JSON.
They are written as an export writes them, but not verified: whoever times them must compare their outputs. Weights of
16 bits are rounded to the nearest value. An export's compensation of the rounding changes values, not operators.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from metric3d_export.graph.tracing import OPSET, trace_graph
from metric3d_export.network.roles import places_of_modules
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.precision.layer_inputs import layers_of
from metric3d_export.precision.precisions import Precision, find_precision, rewrite_and_store
from metric3d_export.precision.weight_rounding import parameters_replaced
from metric3d_export.pytorch_runner import count_gflop
from metric3d_export.weights.checkpoints import load_network, stand_in_weights
from metric3d_ros import __version__
from metric3d_ros.command_line import parse_size
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.atomic import temporary_folder
from metric3d_ros.model_contract import STAND_IN_WEIGHTS, Metadata
from metric3d_ros.program import program

PLAIN, OPTIMISED = "plain", "optimised"
FORMS = (PLAIN, OPTIMISED)


def make_stand_ins(variant: str, models: Sequence[tuple[str, str]], folder: Path) -> dict[str, float]:
    """Write `VARIANT-FORM-PRECISION.onnx` for each (form, precision) that is not there; return its seconds by name.

    Raises ConfigurationError for a form or a precision that is not known, or that needs calibration images.
    """
    kinds = [(form, precision, find_precision(precision)) for form, precision in models]
    for form, precision, kind in kinds:
        if form not in FORMS or kind.steps is not None:
            raise ConfigurationError(
                f"'{form}:{precision}' cannot be made here, expected one of {', '.join(FORMS)}, and a precision of "
                "16 or 32 bits"
            )
    folder.mkdir(parents=True, exist_ok=True)
    network: DepthNetwork | None = None
    seconds: dict[str, float] = {}
    for form, precision, kind in kinds:
        path = folder / f"{variant}-{form}-{precision}.onnx"
        started_s = time.monotonic()
        if not path.exists():
            if network is None:
                weights = stand_in_weights(variant)
                network, _ = load_network(variant, weights)
            _write(network, path, form=form, precision=precision, kind=kind, sha256=weights.sha256)
        seconds[path.name] = round(time.monotonic() - started_s, 2)
    return seconds


def _write(network: DepthNetwork, path: Path, *, form: str, precision: str, kind: Precision, sha256: str) -> None:
    variant = network.variant
    with parameters_replaced(network, _rounded(network, kind)):
        traced = trace_graph(network, optimise=form == OPTIMISED, scales_in_weights=kind.scales_in_weights)
    with temporary_folder(path.parent, path.name) as directory:
        stored = rewrite_and_store(traced, directory / path.name, precision=precision)
        stored.write_metadata(
            Metadata(
                variant=variant.name,
                precision=precision,
                size_multiple=variant.size_multiple,
                depth_range_m=variant.depth_range_m,
                training_size_hw=variant.training_size_hw,
                opset=OPSET,
                weights_file=STAND_IN_WEIGHTS,
                weights_sha256=sha256,
                exporter_version=__version__,
                max_difference=float("nan"),
            )
        )
        for file in filter(None, (stored.data_path, stored.path)):
            file.replace(path.parent / file.name)


def _rounded(network: DepthNetwork, kind: Precision) -> dict[str, Tensor]:
    """Return the weights that a file of this precision does not hold as they are, at their nearest values."""
    if kind.read_back is None:
        return {}
    places = places_of_modules(network)
    return {
        f"{name}.weight": kind.read_back(f"{name}.weight", layer.weight.detach(), _output_axis(layer), places[layer])
        for name, layer in layers_of(network).items()
    }


def _output_axis(layer: torch.nn.Module) -> int:
    return 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0


@program("")
def main(argv: list[str] | None = None) -> int:
    """Make the models and count their work."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.stand_ins", description=__doc__)
    parser.add_argument("variant")
    parser.add_argument("models", nargs="+", metavar="FORM:PRECISION", help="such as plain:fp32 optimised:fp16")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--work", nargs="*", default=[], metavar="HxW", help="sizes to count operations at")
    args = parser.parse_args(argv)
    sizes = {text: parse_size(text, option="--work HEIGHTxWIDTH") for text in args.work}
    models = [(form, precision) for form, _, precision in (each.partition(":") for each in args.models)]
    seconds = make_stand_ins(args.variant, models, args.folder)
    gflop = {text: count_gflop(args.variant, size_hw) for text, size_hw in sizes.items()}
    print(json.dumps({"seconds": seconds, "gflop": gflop}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
