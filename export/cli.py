"""`metric3d export`: from a variant's name and its weights to a verified ONNX file."""

import argparse
import dataclasses
import sys
from pathlib import Path

from metric3d_export.checks.authors_code import compare_with_authors, load_authors_network
from metric3d_export.checks.guard import describe_figure
from metric3d_export.checks.verify import describe_difference, require_acceptable
from metric3d_export.exporter import check_output_path, export_model
from metric3d_export.network.variants import VARIANTS, DepthNetwork, find_variant
from metric3d_export.precision.precisions import PRECISIONS, find_precision
from metric3d_export.progress import Progress
from metric3d_export.report.record import ExportReport, write_report
from metric3d_export.report.run_times import measure_runs
from metric3d_export.weights.checkpoints import Weights, load_network, read_checkpoint, stand_in_weights
from metric3d_export.weights.sources import download_published_weights, published_file, require_published
from metric3d_ros.command_line import parse_size
from metric3d_ros.comparison.differences import Figure
from metric3d_ros.estimation.inference_size import MIN_SIDE_PX
from metric3d_ros.model_contract import DEPTH

AUTHORS_CODE = "authors_code"
"""Metadata key, after the prefix, of the result of the comparison with the authors' code."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    parser.add_argument("variant", help=f"the network: {', '.join(VARIANTS)}")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.onnx", help="the file to write")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="weights: a .pth or .safetensors file (default: the published weights, downloaded once)",
    )
    source.add_argument(
        "--stand-in-weights",
        action="store_true",
        help="pseudo-random weights, for tests and dry runs: the depth is meaningless",
    )
    parser.add_argument(
        "--torch-hub",
        metavar="FOLDER_OR_REPOSITORY",
        help="first compare the network with the authors' code, loaded from a folder or from GitHub (yvanyin/metric3d)",
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        help="; ".join(f"{name}: {precision.meaning}" for name, precision in PRECISIONS.items()) + " (default: fp32)",
    )
    parser.add_argument(
        "--verify-size",
        type=str,
        action="append",
        default=[],
        metavar="HEIGHTxWIDTH",
        help="verify at this size too; may be given several times",
    )
    parser.add_argument(
        "--allow-degraded",
        action="store_true",
        help="keep a model of reduced precision that exceeds its limits of difference from float32",
    )
    parser.add_argument(
        "--no-optimize",
        action="store_true",
        help="store the published operations one by one: slower, with the same outputs, as a reference",
    )
    parser.add_argument("--no-benchmark", action="store_true", help="do not time the model for the report")
    parser.add_argument("--force", action="store_true", help="overwrite the output file and its report")


def run(args: argparse.Namespace) -> int:
    """Export; return 0. Raises a Metric3DError with the fault and its remedy in one line."""
    find_variant(args.variant)
    find_precision(args.precision)
    sizes_hw = [parse_size(text, option="--verify-size HEIGHTxWIDTH", least=MIN_SIDE_PX) for text in args.verify_size]
    check_output_path(args.output, overwrite=args.force)
    progress = Progress()
    weights = _read_weights(args, progress)
    file, sha256, source = weights.file, weights.sha256, weights.origin
    # Popped, not kept: the exporter frees the network before the file is loaded for verification.
    loaded = [_load_network(args.variant, weights, progress)]
    del weights
    notes = {}
    if args.torch_hub is not None:
        notes[AUTHORS_CODE] = _compare_with_authors(loaded[0], args.torch_hub, progress)
    report = export_model(
        loaded.pop(),
        args.output,
        precision=args.precision,
        weights_file=file,
        weights_sha256=sha256,
        weights_source=source,
        notes=notes,
        overwrite=args.force,
        verified_sizes_hw=sizes_hw,
        allow_degraded=args.allow_degraded,
        optimise=not args.no_optimize,
        progress=progress,
    )
    _print_findings(report, progress)
    if not args.no_benchmark:
        write_report(report, args.output)  # of what is there, should the timing be interrupted
        progress.stage("timing the model (--no-benchmark leaves this out)")
        report = dataclasses.replace(report, runs=measure_runs(args.output))
    _, page = write_report(report, args.output)
    progress.stage(f"wrote {args.output} ({report.file_bytes / 1e6:.1f} MB) and its report {page}")
    if args.stand_in_weights:
        print("The weights are stand-ins: depth from this model is meaningless.", file=sys.stderr)
    return 0


def _print_findings(report: ExportReport, progress: Progress) -> None:
    progress.stage("compared with PyTorch; |a - b| / max(|b|, 1), or degrees for normals:")
    for difference in report.differences:
        print(f"    {describe_difference(difference)}")
    if report.departures:
        progress.stage("compared with float32:")
        for departure in report.departures:
            for figure in departure.figures:
                print(f"    {describe_figure(departure, figure)}")
    if report.degraded is not None:
        print(f"Kept although it deviates too far from float32: {report.degraded}.", file=sys.stderr)


def _read_weights(args: argparse.Namespace, progress: Progress) -> Weights:
    if args.stand_in_weights:
        progress.stage("making stand-in weights: DEPTH FROM THIS MODEL IS MEANINGLESS")
        return stand_in_weights(args.variant)
    if args.checkpoint is not None:
        progress.stage(f"reading {args.checkpoint}")
        return read_checkpoint(args.checkpoint)
    file = published_file(args.variant)
    progress.stage(f"taking {file.name} of {file.origin}")
    path = download_published_weights(args.variant)
    weights = dataclasses.replace(read_checkpoint(path), origin=file.origin)
    require_published(args.variant, path=path, sha256=weights.sha256)
    return weights


def _compare_with_authors(network: DepthNetwork, directory_or_repository: str, progress: Progress) -> str:
    """Return one line about what was compared, and the result."""
    progress.stage(f"loading the authors' code from {directory_or_repository}")
    authors = load_authors_network(directory_or_repository, network)
    differences = compare_with_authors(network, authors.network, progress=progress)
    progress.stage("compared with the authors' code; |a - b| / max(|b|, 1), or degrees for normals:")
    for difference in differences:
        print(f"    {describe_difference(difference)}")
    require_acceptable(differences, what="the network differs from the authors' code")
    largest = max(difference[Figure.LARGEST] for difference in differences if difference.output == DEPTH)
    return f"{authors.origin}: depth of this network at most {largest:.1e} from theirs, relative beyond 1 m"


def _load_network(variant: str, weights: Weights, progress: Progress) -> DepthNetwork:
    progress.stage(f"loading {len(weights.tensors)} tensors into {variant}")
    network, extra = load_network(variant, weights)
    if extra:
        progress.stage(f"{len(extra)} tensors of {weights.file} have no place in {variant}: {', '.join(extra)}")
    return network
