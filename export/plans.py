"""`python -m metric3d_export.plans`: writes the plans from which the runtime makes model files without PyTorch.

A plan is a graph without its weights, and a graph of preparations that turns the published tensors into those weights.
Both are ONNX, gzipped. They depend on a variant and a precision, not on values.
"""

import argparse
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import helper

from metric3d_export.graph.model_file import shorten_names
from metric3d_export.graph.preparations import Preparations
from metric3d_export.graph.stored_weights import Weight
from metric3d_export.graph.tracing import trace_graph
from metric3d_export.network.variants import VARIANTS, DepthNetwork, build_network
from metric3d_export.precision.precisions import find_precision
from metric3d_ros.assembly.plan_files import PLAIN, PLAN_FOLDER, PLAN_PRECISIONS, PlanPart, plan_path
from metric3d_ros.files.atomic import replacing
from metric3d_ros.program import program


def make_plan(variant: str, precision: str) -> dict[PlanPart, onnx.ModelProto]:
    """Return both parts of a variant's plan in a precision, or in `PLAIN`: the published operations as they are."""
    optimise = precision != PLAIN
    kind = find_precision(precision if optimise else "fp32")
    with torch.no_grad():
        traced = trace_graph(_valueless(variant), optimise=optimise, scales_in_weights=kind.scales_in_weights)
    origins = traced.weight_origins
    weights = kind.rewrite(traced)
    sources = [weight.name if weight.name in origins else weight.name.removesuffix(".half") for weight in weights]
    if precision != "fp32":
        shorten_names(traced.model.graph, weights)
    preparations = Preparations(variant, optimise=optimise, scales_in_weights=kind.scales_in_weights)
    outputs = {
        weight.name: (*origins[source], weight.kind == onnx.TensorProto.FLOAT16)
        for weight, source in zip(weights, sources, strict=True)
    }
    graph = traced.model
    _declare(graph, weights)
    model = preparations.to_model(outputs)
    row = VARIANTS[variant]
    facts = {"variant": variant, "precision": precision, "unread": " ".join(sorted(row.unread_parameters))}
    facts |= {"size_multiple": str(row.size_multiple)}
    facts |= {name: " ".join(map(repr, getattr(row, name))) for name in ("training_size_hw", "depth_range_m")}
    helper.set_model_props(model, facts)
    return {PlanPart.GRAPH: graph, PlanPart.PREPARATIONS: model}


def _declare(model: onnx.ModelProto, weights: list[Weight]) -> None:
    """Declare the weights as the graph's inputs, so that it is a valid one without them."""
    for weight in weights:
        model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.kind, list(weight.tensor.shape)))


def _valueless(variant: str) -> DepthNetwork:
    """Return the network with parameters that take little memory, of which all rows are one random number each.

    PyTorch's exporter merges equal weights, so that these must differ. float16 has none of the numbers, as it lacks
    most of a checkpoint's.
    """
    with torch.device("meta"):
        network = build_network(variant)
    random = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in network.state_dict().items():
        rows = torch.rand((*tensor.shape[:1], *[1] * (tensor.dim() - 1)), generator=random)
        state[name] = rows.to(tensor.dtype).expand(tensor.shape)
    network.load_state_dict(state, assign=True)
    return network.eval()


def published_plans() -> Iterator[tuple[str, str]]:
    """Yield variant and precision of every plan that comes with the package."""
    for variant, row in VARIANTS.items():
        if row.published_file is not None:
            yield from ((variant, precision) for precision in (*PLAN_PRECISIONS, PLAIN))


def encode(model: onnx.ModelProto) -> bytes:
    """Return a part of a plan as it is stored; equal for equal models."""
    return gzip.compress(model.SerializeToString(deterministic=True), mtime=0)


@program("error")
def main() -> int:
    """Write the plans of the published variants, or of those that are named; return 0."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_export.plans", description="Write plans of model files.")
    parser.add_argument("variants", nargs="*", help="which (default: every published one)")
    parser.add_argument(
        "--output", type=Path, default=PLAN_FOLDER, metavar="FOLDER", help="where to (default: the package)"
    )
    args = parser.parse_args()
    for variant, precision in published_plans():
        if not args.variants or variant in args.variants:
            for part, model in make_plan(variant, precision).items():
                path = plan_path(variant, precision, part, folder=args.output)
                content = encode(model)
                with replacing(path) as file:
                    file.write(content)
                print(path, len(content), len(model.SerializeToString()), "bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
