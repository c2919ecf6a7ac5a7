"""`metric3d run`: images, videos and bags in, depth, clouds and bags out; without ROS."""

import argparse
import dataclasses
import errno
import math
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from metric3d_ros.camera.camera import MOST_FOCAL_PX, MOST_HFOV_DEG
from metric3d_ros.command_line import require_numbers
from metric3d_ros.engine import AUTO, DEMO_MODEL, PROVIDERS
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.files.atomic import check_writable
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.files.remote import is_of_one_process, is_remote, path_of
from metric3d_ros.files.yaml_text import describe_problem, load_first_document
from metric3d_ros.recordings.bags.reader import release_bag
from metric3d_ros.recordings.bags.writer import MCAP, SQLITE3
from metric3d_ros.runs.manifest_lines import MANIFEST
from metric3d_ros.runs.options import FORMATS, RunOptions, take_sixteen_bit_range
from metric3d_ros.runs.progress import Progress, describe_duration
from metric3d_ros.runs.runner import BY_LIMIT, Run, Summary, check_inputs
from metric3d_ros.runs.sources.cameras import CameraChoice, explain_scale
from metric3d_ros.runs.sources.frame import Frame, Recording, first_item
from metric3d_ros.runs.sources.inputs import Selection, open_recordings
from metric3d_ros.runs.trial import Trial, try_frames

_MOST_NAMED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d run`."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="images, folders, patterns, videos, bags; or URLs")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="folder or URL of the results")
    parser.add_argument(
        "--write", default="png16", metavar="FORMATS", help=f"some of {','.join(FORMATS)} (default: %(default)s)"
    )
    parser.add_argument("--model", default=DEMO_MODEL, help="an ONNX file, a name (vit_small), or 'demo' (default)")
    parser.add_argument("--provider", default=AUTO, choices=[AUTO, *PROVIDERS], help="execution provider")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads; 0 (default): all cores")
    parser.add_argument("--inference-size", default="native", metavar="SIZE", help="as the node's inference_size")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="batch size (default: 1)")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the node, such as depth.max_m=20 or points.stride=2; docs/parameters.md lists them",
    )

    camera = parser.add_argument_group("camera (a bag's camera_info and a photograph's EXIF are used without these)")
    camera.add_argument("--focal", type=float, metavar="PX", help="focal length in pixels")
    camera.add_argument("--hfov", type=float, metavar="DEG", help="horizontal field of view")
    camera.add_argument("--calibration", default="", metavar="FILE", help="calibration file")
    camera.add_argument(
        "--scale-calibration", action="store_true", help="scale a calibration of another size to the images"
    )
    camera.add_argument(
        "--rectified", choices=["auto", "true", "false"], default="auto", help="as the node's rectified (default: auto)"
    )

    which = parser.add_argument_group("which frames")
    which.add_argument("--topics", default="", metavar="A,B", help="image topics of a bag (default: all pictures)")
    which.add_argument("--start", type=float, default=0.0, metavar="S", help="seconds from the recording's start")
    which.add_argument("--end", type=float, default=0.0, metavar="S", help="seconds from the recording's start")
    which.add_argument("--every", type=int, default=1, metavar="N", help="only every n-th frame of a chunk")
    which.add_argument(
        "--fps", type=float, default=0.0, metavar="HZ", help="maximum frame rate that is taken from a video or bag"
    )
    which.add_argument("--limit", type=int, default=0, metavar="N", help="at most N frames; 0 (default): all")

    bag = parser.add_argument_group("--write bag")
    bag.add_argument(
        "--outputs",
        default="depth,depth_color,points",
        metavar="A,B",
        help="the node's outputs.* (default: %(default)s)",
    )
    bag.add_argument("--storage", choices=[MCAP, SQLITE3], default=MCAP, help="(default: %(default)s)")
    bag.add_argument("--merge", action="store_true", help="copy all topics of the recording as well")

    how = parser.add_argument_group("how")
    how.add_argument(
        "--resume", action="store_true", help="continue the run in the output folder: do what is missing or failed"
    )
    how.add_argument("--dry-run", action="store_true", help="print the plan, with estimates of time and bytes")
    how.add_argument("--strict", action="store_true", help="stop at the first input that cannot be read")
    how.add_argument("--chunk", type=int, default=64, metavar="N", help="frames completed together (default: 64)")
    how.add_argument("--ray", default="", metavar="ADDRESS", help="run on a Ray cluster, or 'local' for this machine")
    how.add_argument("--workers", type=int, default=0, metavar="N", help="Ray workers (default: one for each CPU)")


def run(args: argparse.Namespace) -> int:
    """Run it; return 0 if all is done, 1 if something failed, 130 if it was interrupted."""
    if args.ray and args.limit:
        raise ConfigurationError("--limit and --ray exclude each other: use --end, or leave out --ray")
    require_numbers(args, "workers", least=0)
    if not args.output:
        raise ConfigurationError("--output is empty, expected a folder or a URL for the results")
    parameters = _parameters_of(args.param)
    sixteen_bit_range = take_sixteen_bit_range(parameters)
    options, selection = _options_of(args, parameters), _selection_of(args, sixteen_bit_range)
    if args.ray and options.follows_frames:
        raise ConfigurationError(
            "--ray and a correction that follows frames (stability.*, scale.camera_height_m, scale.known_distance_m) "
            "exclude each other: leave out --ray, or give scale.factor"
        )
    recordings, failures = open_recordings(args.inputs, selection, strict=args.strict)
    for failure in failures:
        print(f"metric3d run: left out: {failure}", file=sys.stderr)
    check_inputs(recordings)
    _print_plan(recordings)
    if options.limits:
        print(options.limits, file=sys.stderr)
    if is_of_one_process(path_of(args.output)):
        print(f"{args.output} lasts as long as this process: to keep the results, give a folder", file=sys.stderr)
    if args.dry_run:
        return _dry_run(recordings, options, args)
    settings = {"selection": dataclasses.asdict(selection)}
    with Progress() as progress:
        try:
            job = Run(
                recordings,
                args.output,
                options,
                settings=settings,
                resume=args.resume,
                limit=args.limit,
                on_frame=progress.note,
            )
            progress.begin(job.count(), job.summary.before)
            summary = job.run(ray_address=args.ray, workers=args.workers)
        except OSError as error:
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = "make room" if is_full else "check the path and your access to it"
            # What is uploaded is written there first; a store's own errors are no OSError.
            place = tempfile.gettempdir() if is_full and is_remote(path_of(args.output)) else args.output
            raise DataError(
                f"{error.filename or place}: {error.strerror or error}; {progress.done_now} frames were done by "
                f"then, and those of complete chunks are kept: {remedy}, and run again with --resume"
            ) from error
    _print_summary(summary, args.output)
    return max(summary.exit_status, int(bool(failures)))


def _options_of(args: argparse.Namespace, parameters: Mapping[str, Any]) -> RunOptions:
    require_numbers(args, "threads", least=0, most=MOST_THREADS)
    require_numbers(args, "batch", "chunk", least=1)
    return RunOptions(
        model=args.model,
        provider=args.provider,
        threads=args.threads,
        inference_size=args.inference_size,
        parameters=parameters,
        write=_words(args.write),
        outputs=_words(args.outputs),
        storage=args.storage,
        merge=args.merge,
        batch=args.batch,
        chunk_frames=args.chunk,
    )


def _selection_of(args: argparse.Namespace, sixteen_bit_range: str) -> Selection:
    require_numbers(args, "start", "end", "fps", "limit", least=0)
    require_numbers(args, "every", least=1)
    require_numbers(args, "focal", above=0, most=MOST_FOCAL_PX, unit="pixels")
    require_numbers(args, "hfov", above=0, most=MOST_HFOV_DEG, unit="degrees")
    cameras = CameraChoice(
        focal_px=args.focal or 0.0,
        hfov_deg=args.hfov or 0.0,
        calibration=args.calibration,
        scale=args.scale_calibration,
    )
    return Selection(
        cameras=cameras,
        topics=_words(args.topics),
        start_s=args.start,
        end_s=args.end,
        every=args.every,
        fps=args.fps,
        rectified=None if args.rectified == "auto" else args.rectified == "true",
        sixteen_bit_range=sixteen_bit_range,
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _parameters_of(assignments: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, mark, value = assignment.partition("=")
        if not mark:
            raise ConfigurationError(f"--param {assignment!r} has no value, expected NAME=VALUE such as depth.max_m=20")
        try:
            values[name.strip()] = load_first_document(value)
        except yaml.YAMLError as error:
            raise ConfigurationError(
                f"--param {shorten(assignment, 80)!r} is no YAML ({describe_problem(error)}), expected NAME=VALUE such "
                "as depth.max_m=20"
            ) from error
    return values


def _print_plan(recordings: Sequence[Recording]) -> None:
    for recording in recordings:
        print(f"{recording.source}: about {recording.count()} frames", file=sys.stderr)
        found = first_item(recording, frames=1)
        if found is not None and isinstance(first := found[1], Frame):
            print(
                f"  focal length {first.camera.focal_px:.1f} px for {first.camera.width}x{first.camera.height}, from "
                f"{first.focal_from}; {explain_scale(first.focal_from)}",
                file=sys.stderr,
            )
        for remark in recording.remarks():
            print(f"  {remark}", file=sys.stderr)
    release_bag()


def _dry_run(recordings: Sequence[Recording], options: RunOptions, args: argparse.Namespace) -> int:
    folder = path_of(args.output).absolute()
    while not (is_remote(folder) or folder.exists()):
        folder = folder.parent
    if not is_remote(folder):
        if not folder.is_dir():
            raise DataError(f"cannot write into {args.output}: {folder} is a file; give another folder")
        try:
            check_writable(folder / MANIFEST)
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"cannot write into {args.output}: {reason}; give another folder") from error
    trial: Trial = try_frames(recordings, options)
    count = sum(recording.count() for recording in recordings)
    count = min(count, args.limit) if args.limit else count
    bytes_out = count * trial.bytes_per_frame
    free = math.inf if is_remote(folder) else shutil.disk_usage(folder).free
    room = "" if is_remote(folder) else f" ({free / 1e9:.1f} GB are free)"
    print(
        f"would write {', '.join(options.write)} of about {count} frames into {args.output}: about "
        f"{describe_duration(count * trial.seconds_per_frame)} ({trial.seconds_per_frame:.3f} s per frame, measured on "
        f"{trial.frames}) and {bytes_out / 1e9:.2f} GB{room}"
    )
    return 0 if bytes_out < free else 1


def _print_summary(summary: Summary, folder: str) -> None:
    rate = summary.done / summary.seconds if summary.seconds else 0.0
    before = f", {summary.before} were there already" if summary.before else ""
    kinds = ", ".join(f"{count} {kind}" for kind, count in summary.failed_by_kind.most_common())
    failed = f", {len(summary.failed)} failed ({kinds})" if summary.failed else ""
    stopped = "; interrupted: go on with --resume" if summary.interrupted else ""
    took = f"{describe_duration(summary.seconds)} ({rate:.2f} a second)"
    print(f"{summary.done} frame{'s' * (summary.done != 1)} in {took}{before}{failed}{stopped}: {folder}")
    if summary.left_out:
        counts = (f"{'about ' * (name == BY_LIMIT)}{count} by {name}" for name, count in summary.left_out.items())
        print(f"  left out: {', '.join(counts)}")
    for remark in summary.remarks:
        print(f"  {remark}")
    for key, reason in list(summary.failed.items())[:_MOST_NAMED]:
        print(f"  failed: {key}: {reason}")
    if len(summary.failed) > _MOST_NAMED:
        print(f"  and {len(summary.failed) - _MOST_NAMED} more: manifest.jsonl names them")
