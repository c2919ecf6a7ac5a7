"""`metric3d evaluate`: a model against images whose depth is known, as a table and as JSON."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from metric3d_ros import __version__
from metric3d_ros.camera.camera import MOST_FOCAL_PX
from metric3d_ros.command_line import parse_size, require_numbers
from metric3d_ros.comparison.labelled_images import Sample, SampleSource
from metric3d_ros.comparison.metrics import measure_image
from metric3d_ros.engine import AUTO, DEMO_MODEL, PROVIDERS
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.errors import ConfigurationError, DataError, OutOfMemoryError
from metric3d_ros.estimation.demo_limits import explain_demo_limits
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.estimation.inference_size import MIN_SIDE_PX, NATIVE, InferenceSize
from metric3d_ros.evaluation.error_table import Evaluation, ImageResult, compare_to_table
from metric3d_ros.evaluation.flights import HeldOutFlights
from metric3d_ros.evaluation.labelled_folder import CameraSource, Group, LabelledFolder, open_folder
from metric3d_ros.evaluation.steadiness import evaluate_sequences, flights_as_sequences, groups_as_sequences
from metric3d_ros.files.atomic import require_writable, write_text
from metric3d_ros.files.paths import user_path
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.world.held_out import HeldOutScenes
from metric3d_ros.world.rendering.viewpoint import MOST_FRAMES
from metric3d_ros.world.scenes import PLAIN, WORLDS

SCENES = "scenes"
_SCENES, _FLIGHTS = 200, 4
_SMALLER_SCENES = "choose a smaller --size"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d evaluate`."""
    parser.add_argument(
        "data",
        nargs="?",
        default=SCENES,
        help="a folder with a dataset.yaml, the path of such a file, a folder described by the options below, or "
        "'scenes' (default): rendered rooms or streets that no training used",
    )
    parser.add_argument(
        "--model", default=DEMO_MODEL, help="an ONNX file, a name such as vit_small, or 'demo' (default)"
    )
    parser.add_argument(
        "--provider", default=AUTO, choices=[AUTO, *PROVIDERS], help="where the model runs (default: %(default)s)"
    )
    parser.add_argument(
        "--inference-size",
        default=NATIVE,
        metavar="SIZES",
        help="native (default), trained, published, WIDTHxHEIGHT or 0.5MP; several, with commas, are compared",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads; 0 (default): all cores")
    parser.add_argument(
        "--sequence",
        action="store_true",
        help="treat the images as frames of a moving camera, and measure how steady depth is from one to the next, "
        "before and after the node's stability.*",
    )
    parser.add_argument(
        "--max-depth", type=float, metavar="M", help="leave out pixels whose true depth is larger, metres"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    parser.add_argument(
        "--rows", type=int, default=40, metavar="N", help="maximum number of images in the table (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every image")

    scenes = parser.add_argument_group("synthetic scenes")
    scenes.add_argument("--scenes", type=int, metavar="N", help="number of scenes (default: 200), or of sequences (4)")
    scenes.add_argument(
        "--world", default=PLAIN, choices=WORLDS, help="plain or furnished rooms, or streets (default: %(default)s)"
    )
    scenes.add_argument(
        "--frames", type=int, default=60, metavar="N", help="of each --sequence, at 10 Hz (default: %(default)s)"
    )
    scenes.add_argument("--kind", metavar="KIND", help="one kind of scene only: room, hall, corridor, street or yard")
    scenes.add_argument("--size", default="336x252", metavar="WxH", help="image size in pixels (default: %(default)s)")
    scenes.add_argument(
        "--focal-factor",
        type=float,
        metavar="F",
        help="focal length / width (default: random per scene, as in training)",
    )

    folder = parser.add_argument_group("a folder without dataset.yaml (patterns are relative to it)")
    folder.add_argument("--rgb", default="*_rgb.*", metavar="PATTERN", help="the images (default: %(default)s)")
    folder.add_argument(
        "--depth", metavar="PATTERN", help="their depth, such as *_depth.png: * stands for the same text as in --rgb"
    )
    folder.add_argument("--normals", metavar="PATTERN", help="their normals, .npy or .npz")
    folder.add_argument(
        "--depth-scale", type=float, metavar="N", help="units per metre in the depth files (default for PNG: 1000)"
    )
    folder.add_argument("--poses", type=Path, metavar="FILE", help="for --sequence: camera poses, one line per image")
    folder.add_argument("--camera", metavar="FILE", help="calibration file of camera_calibration, OpenCV or Kalibr")
    folder.add_argument(
        "--focal", type=float, metavar="PX", help="focal length in pixels, with a central principal point"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table to stdout and write the JSON; raises Metric3DError for what a user can mend."""
    if args.data != SCENES:
        return _run(args)
    try:
        with needing_memory(f"evaluating scenes of {args.size}", remedy=_SMALLER_SCENES):
            return _run(args)
    except OutOfMemoryError as error:
        if str(error).endswith(_SMALLER_SCENES):
            raise
        raise OutOfMemoryError(f"{error}; or {_SMALLER_SCENES}") from error  # of the estimator


def _run(args: argparse.Namespace) -> int:
    source = _open_source(args)
    if args.json is not None:
        require_writable(args.json, what=f"--json {args.json}")
    sizes = list(dict.fromkeys(size.strip() for size in args.inference_size.split(",")))
    for size in sizes:
        InferenceSize.parse(size)
    if args.sequence and len(sizes) > 1:
        raise ConfigurationError(f"--sequence measures one inference size, but {args.inference_size} are {len(sizes)}")
    model = open_model(args.model, provider=args.provider, threads=args.threads)
    estimators = {size: Estimator(model, inference_size=size) for size in sizes}
    if limits := explain_demo_limits(model, remedy="--model vit_small") if not _is_rendered(source) else "":
        print(limits, file=sys.stderr)
    if model.metadata is not None and model.metadata.meaningless:
        print(f"{model.name} has stand-in weights: these figures are meaningless", file=sys.stderr)
    settings = {
        "model": model.name,
        "variant": model.metadata.variant if model.metadata else None,
        "weights_sha256": model.metadata.weights_sha256 if model.metadata else None,
        "provider": model.provider,
        "data": str(args.data),
        **({"world": args.world, "kind": args.kind} if args.data == SCENES else {}),
        "max_depth_m": args.max_depth,
        "metric3d_ros": __version__,
        "numpy": np.__version__,
    }
    if args.sequence:
        return _run_sequences(source, estimators, args, settings)
    assert not isinstance(source, HeldOutFlights)
    evaluations = {
        size: evaluate(
            source,
            estimator.estimate,
            limit=args.limit,
            max_depth_m=args.max_depth,
            settings={**settings, "inference_size": size},
        )
        for size, estimator in estimators.items()
    }
    first = next(iter(evaluations.values()))
    print(first.to_table(max_rows=args.rows) if len(sizes) == 1 else compare_to_table(evaluations))
    if args.json is not None:
        by_size = {"inference_sizes": {size: each.content() for size, each in evaluations.items()}}
        text = first.to_json() if len(sizes) == 1 else json.dumps(by_size, indent=2)
        write_text(args.json, text + "\n", durable=True)
        print(f"every figure: {args.json}")
    return 0


def _run_sequences(
    source: SampleSource | HeldOutFlights,
    estimators: Mapping[str, Estimator],
    args: argparse.Namespace,
    settings: Mapping[str, object],
) -> int:
    ((size, estimator),) = estimators.items()
    sequences = flights_as_sequences(source) if isinstance(source, HeldOutFlights) else groups_as_sequences(source)
    found = evaluate_sequences(
        sequences,
        estimator.estimate,
        limit=args.limit,
        max_depth_m=args.max_depth,
        settings={**settings, "inference_size": size},
    )
    print(found.to_table())
    if args.json is not None:
        write_text(args.json, found.to_json() + "\n", durable=True)
        print(f"every figure: {args.json}")
    return 0


def evaluate(
    source: SampleSource,
    estimate: Callable[..., Estimate],
    *,
    limit: int | None = None,
    max_depth_m: float | None = None,
    settings: dict[str, object] | None = None,
) -> Evaluation:
    """Estimate every sample (or the first `limit`) and measure it; progress goes to stderr.

    `estimate` takes the image and its camera, as `Estimator.estimate` does. Raises DataError, naming the image, where
    nothing can be compared.
    """
    total = len(source) if limit is None else min(limit, len(source))
    images: list[ImageResult] = []
    with tqdm(total=total, desc="evaluating", unit="image", dynamic_ncols=True, disable=None) as progress:
        for sample in source:
            if len(images) == total:
                break
            images.append(_measure(sample, estimate(sample.rgb, sample.camera), max_depth_m))
            progress.update()
    return Evaluation(images, settings or {})


def _measure(sample: Sample, estimate: Estimate, max_depth_m: float | None) -> ImageResult:
    try:
        figures = measure_image(
            estimated_m=estimate.depth_m,
            true_m=sample.true_depth_m,
            estimated_normals=estimate.normals,
            true_normals=sample.true_normals,
            max_depth_m=min(sample.max_depth_m, math.inf if max_depth_m is None else max_depth_m),
        )
    except DataError as error:
        raise DataError(f"{sample.name}: {error}") from error
    figures["infer_ms"] = estimate.timings_ms["infer"]
    return ImageResult(sample.name, sample.group, sample.camera.size_hw, figures)


def _is_rendered(source: SampleSource | HeldOutFlights) -> bool:
    """Return whether this package has rendered the images."""
    return source.rendered if isinstance(source, LabelledFolder) else True


def _open_source(args: argparse.Namespace) -> SampleSource | HeldOutFlights:
    require_numbers(args, "scenes", "limit", "rows", least=1)
    require_numbers(args, "frames", least=1, most=MOST_FRAMES)
    require_numbers(args, "threads", least=0, most=MOST_THREADS)
    require_numbers(args, "max_depth", above=0, unit="metres")
    require_numbers(args, "depth_scale", above=0, unit="units per metre")
    require_numbers(args, "focal", above=0, most=MOST_FOCAL_PX, unit="pixels")
    require_numbers(args, "focal_factor", least=0.2, most=20, unit="times the width")
    if args.data == SCENES and args.sequence:
        return _open_flights(args)
    if args.data == SCENES:
        return HeldOutScenes(
            count=args.scenes or _SCENES,
            size_hw=_parse_size(args.size),
            focal_factor=args.focal_factor,
            world=args.world,
            kind=args.kind,
        )
    described = [
        name for name in ("depth", "normals", "depth_scale", "camera", "focal", "poses") if getattr(args, name)
    ]
    folder = _folder_of_options(args) if described else open_folder(args.data)
    folder.check()
    for doubt in folder.doubts():
        print(f"doubtful: {doubt}", file=sys.stderr)
    return folder


def _open_flights(args: argparse.Namespace) -> HeldOutFlights:
    if args.kind is not None:
        raise ConfigurationError(f"--kind is {args.kind}, but --sequence flies through every kind; use --world")
    lens = {} if args.focal_factor is None else {"hfov_deg": math.degrees(2 * math.atan(0.5 / args.focal_factor))}
    return HeldOutFlights(
        count=args.scenes or _FLIGHTS, frames=args.frames, size_hw=_parse_size(args.size), world=args.world, **lens
    )


def _folder_of_options(args: argparse.Namespace) -> LabelledFolder:
    root = user_path(args.data)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; expected one with images and depth")
    if args.depth is None:
        raise DataError(f"{root}: where is the depth? Give --depth with a pattern such as '*_depth.png'")
    if (args.camera is None) == (args.focal is None):
        raise DataError(f"{root}: intrinsics are missing or given twice; give --camera FILE or --focal PX")
    camera = CameraSource(calibration=args.camera, focal_px=args.focal)
    poses = None if args.poses is None else root / user_path(args.poses)
    group = Group(root.name, args.rgb, args.depth, args.normals, args.depth_scale, camera, poses=poses)
    return LabelledFolder(root, (group,))


def _parse_size(text: str) -> tuple[int, int]:
    width, height = parse_size(text, option="--size WIDTHxHEIGHT", least=MIN_SIDE_PX)
    return height, width
