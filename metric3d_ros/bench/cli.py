"""`metric3d bench`: how fast models and the node are on this machine, against baselines, as table, JSON and picture."""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2

from metric3d_ros.bench.alternation import Pace
from metric3d_ros.bench.benchmark_record import BenchReport, NodeOverhead, describe_setting, read_overhead_ms
from metric3d_ros.bench.comparison import Compared, Refusal, Timed, compare_and_time, make_task
from metric3d_ros.bench.gpu.command import MINUTES, SECONDS, Options, write_gpu_report
from metric3d_ros.bench.machine import describe_machine, describe_versions, usable_cores
from metric3d_ros.bench.node.stages import SHOWN, NodeTask, measure_node, ros_missing
from metric3d_ros.bench.picture import draw_report
from metric3d_ros.bench.plan import (
    FULL_PACE,
    GPU_PRECISIONS,
    HOST_PRECISIONS,
    MOST_SIDE_PX,
    PRECISIONS,
    QUICK_PACE,
    VARIANTS,
    Request,
    check_names,
    make_plan,
)
from metric3d_ros.bench.table import comparison_table, stage_table
from metric3d_ros.command_line import parse_size, require_numbers
from metric3d_ros.engine import DEMO_MODEL, PROVIDERS
from metric3d_ros.engine.providers import CUDA, MOST_THREADS
from metric3d_ros.errors import ConfigurationError, InferenceError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.inference_size import MIN_SIDE_PX
from metric3d_ros.files.atomic import require_writable, write_text
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.program import describe_failure
from metric3d_ros.recordings.images import IMAGE_SUFFIXES, write_rgb

TOLERANCE = 1e-3
NODE_SCENARIOS = {"overhead-1080p": 15.0, "overhead-vga": 10.0, "slow-network": 15.0}
"""Seconds for each of `metric3d_ros.bench.node.overhead`'s scenarios, shorter than its own."""
QUICK_NODE_SCENARIOS = {"overhead-vga": 3.0}
STAGE_SECONDS, QUICK_STAGE_SECONDS = 20.0, 6.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d bench`."""
    what = parser.add_argument_group("what to measure")
    what.add_argument(
        "--variants", nargs="+", metavar="NAME", help=f"networks, some of {', '.join(VARIANTS)} (default: vit_small)"
    )
    what.add_argument("--sizes", nargs="+", metavar="HxW", help="image sizes, height first (default: 616x1064 480x640)")
    what.add_argument(
        "--precisions",
        nargs="+",
        metavar="NAME",
        help=f"some of {', '.join(PRECISIONS)} (default: {', '.join(HOST_PRECISIONS)}; "
        f"on a GPU {', '.join(GPU_PRECISIONS)})",
    )
    what.add_argument(
        "--providers", nargs="+", metavar="NAME", help=f"some of {', '.join(PROVIDERS)} (default: all that work here)"
    )
    what.add_argument(
        "--model",
        nargs="+",
        type=Path,
        default=[],
        metavar="MODEL",
        help="time these instead of generated models: ONNX files, names such as vit_small, or 'demo'",
    )
    what.add_argument(
        "--against",
        type=Path,
        metavar="MODEL",
        help="the baseline: another file of the same weights, or a name; the outputs that both have are compared",
    )
    what.add_argument("--no-pytorch", action="store_true", help="do not time PyTorch")
    what.add_argument("--no-node", action="store_true", help="do not time the ROS node")
    how = parser.add_argument_group("how")
    how.add_argument("--quick", action="store_true", help="two minutes: one size, fp32, few rounds")
    how.add_argument("--threads", type=int, metavar="N", help="CPU threads of each model (default: every core)")
    how.add_argument("--seconds", type=float, metavar="S", help="duration of each comparison, without the warm-up")
    how.add_argument("--repeats", type=int, metavar="N", help="number of rounds, however long they take")
    how.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="X",
        help="maximum relative difference from the baseline in 99.9 %% of the pixels; 100 X degrees for normals; "
        "a reduced precision may differ more, and the table shows by how much (default: %(default)g)",
    )
    out = parser.add_argument_group("what to write")
    out.add_argument("--json", type=Path, metavar="FILE", help="write every figure, with machine and versions")
    out.add_argument("--picture", type=Path, metavar="FILE.png", help="draw the figures as bars")
    gpu = parser.add_argument_group("GPU report, in place of all the above")
    gpu.add_argument(
        "--gpu-report",
        type=Path,
        metavar="FILE.md",
        help="measure models, the GPU's options one by one, correctness and the pipeline on --providers (default: "
        "cuda), the most valuable first; the file, and --json, are rewritten after every row",
    )
    gpu.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        metavar="M",
        help="time limit of the GPU report, which lists what did not fit into it (default: %(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print and write; return 0, or 1 if something differed from its baseline or nothing could be timed."""
    pace, request = _pace(args), _request(args)
    check_names(request)
    for option, path in (("--json", args.json), ("--picture", args.picture), ("--gpu-report", args.gpu_report)):
        if path is not None:
            require_writable(path, what=f"{option} {path}")
    if args.picture is not None and args.picture.suffix.lower() not in IMAGE_SUFFIXES:
        raise ConfigurationError(f"--picture {args.picture}: no format is called '{args.picture.suffix}'; write .png")
    threads = args.threads or usable_cores()
    cv2.setNumThreads(threads)
    started_s = time.monotonic()
    log = _make_log(started_s)
    report = BenchReport(
        started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=["metric3d", "bench", *sys.argv[1:]],
        machine=describe_machine(),
        versions=describe_versions(),
        settings={
            "threads": threads,
            "tolerance": args.tolerance,
            "warm_up": pace.warm_up,
            "seconds": pace.seconds,
            "rounds": [pace.least, pace.most],
        },
    )
    print("\n".join(describe_setting(report)), flush=True)
    if args.gpu_report is not None:
        return _report_gpu(report, args, request, threads=threads, log=log)
    plan = make_plan(request, log=log)
    report.left_out += plan.left_out
    for comparison in plan.comparisons:
        height, width = comparison.size_hw
        with needing_memory(f"measuring at {height}x{width}", remedy="choose smaller --sizes"):
            task = make_task(comparison.size_hw, threads=threads)
            compared = compare_and_time(comparison, task, pace=pace, tolerance=args.tolerance, log=log)
        report.comparisons.append(compared)
        print("\n" + comparison_table(compared), flush=True)
    if args.no_node:
        report.left_out.append(Refusal(label="depth_node", reason="--no-node"))
    elif reason := ros_missing():
        report.left_out.append(Refusal(label="depth_node", reason=reason))
    else:
        _measure_stages(report, seconds=QUICK_STAGE_SECONDS if args.quick else STAGE_SECONDS, log=log)
        _measure_overhead(report, QUICK_NODE_SCENARIOS if args.quick else NODE_SCENARIOS, log=log)
    report.seconds = time.monotonic() - started_s
    _finish(report, args)
    return 0 if report.timed_any and not report.unequal else 1


def _report_gpu(
    report: BenchReport, args: argparse.Namespace, request: Request, *, threads: int, log: Callable[[str], None]
) -> int:
    """Write the GPU report; ConfigurationError for options that it does not have."""
    for option, value in (
        ("--model", args.model),
        ("--against", args.against),
        ("--precisions", args.precisions),
        ("--picture", args.picture),
        ("--repeats", args.repeats),
        ("--quick", args.quick),
    ):
        if value:
            raise ConfigurationError(f"{option} is set, expected it to be left out: --gpu-report does not take it")
    if len(args.providers or ()) > 1:
        raise ConfigurationError(f"--providers has {' '.join(args.providers)}, expected one with --gpu-report")
    provider = args.providers[0] if args.providers else CUDA
    open_model(DEMO_MODEL, provider=provider)
    options = Options(
        path=args.gpu_report,
        json_path=args.json,
        minutes=args.minutes,
        provider=provider,
        variants=args.variants,
        sizes_hw=request.sizes_hw,
        seconds=args.seconds or SECONDS,
        threads=threads,
        pytorch=not args.no_pytorch,
        node=not args.no_node,
    )
    status = write_gpu_report(report, options, log=log)
    print(f"the GPU report: {args.gpu_report}")
    return status


def _request(args: argparse.Namespace) -> Request:
    sizes_hw = [
        parse_size(text, option="--sizes HEIGHTxWIDTH", least=MIN_SIDE_PX, most=MOST_SIDE_PX)
        for text in args.sizes or ()
    ]
    return Request(
        variants=args.variants,
        sizes_hw=sizes_hw or None,
        precisions=args.precisions,
        providers=args.providers,
        models=args.model,
        against=args.against,
        quick=args.quick,
        pytorch=not args.no_pytorch,
    )


def _pace(args: argparse.Namespace) -> Pace:
    require_numbers(args, "threads", least=1, most=MOST_THREADS)
    require_numbers(args, "repeats", least=1)
    require_numbers(args, "seconds", "minutes", above=0)
    require_numbers(args, "tolerance", above=0, most=1)
    pace = QUICK_PACE if args.quick else FULL_PACE
    if args.seconds is not None:
        pace = replace(pace, seconds=args.seconds)
    if args.repeats is not None:
        pace = replace(pace, least=args.repeats, most=args.repeats)
    return pace


def _make_log(started_s: float) -> Callable[[str], None]:
    def log(text: str) -> None:
        print(f"[{time.monotonic() - started_s:6.1f} s] {text}", file=sys.stderr, flush=True)

    return log


def _measure_stages(report: BenchReport, *, seconds: float, log: Callable[[str], None]) -> None:
    """Run the node with the first optimised model of each comparison, or its baseline if there is no other."""
    done = set()
    for compared in report.comparisons:
        member = _for_node(compared)
        if member is None:
            continue
        candidate = member.candidate
        height, width = compared.comparison.size_hw
        if (candidate, height, width) in done:
            continue
        done.add((candidate, height, width))
        title = f"depth_node with {candidate.label}, {height}x{width}, over DDS"
        log(f"timing {title}")
        task = NodeTask(
            model=candidate.model,
            provider=candidate.provider,
            size_hw=(height, width),
            threads=compared.threads,
            image_ms=member.total.p50,
            seconds=seconds,
            computed_in=candidate.computed_in,
        )
        try:
            measured = measure_node(task, title=title)
        except InferenceError as error:
            report.left_out.append(Refusal(label=title, reason=str(error)))
            continue
        report.node_stages.append(measured)
        shown = {stage: summary for stage, summary in measured.stages.items() if stage in SHOWN}
        print("\n" + stage_table(title, shown), flush=True)


def _for_node(compared: Compared) -> Timed | None:
    runnable = [each for each in compared.timed if not each.candidate.in_pytorch]
    return next((each for each in runnable if each.ratio is not None), runnable[0] if runnable else None)


def _measure_overhead(report: BenchReport, scenarios: dict[str, float], *, log: Callable[[str], None]) -> None:
    print("\ndepth_node without its network", flush=True)
    for scenario, seconds in scenarios.items():
        log(f"timing depth_node without its network: {scenario}")
        command = [sys.executable, "-m", "metric3d_ros.bench.node.overhead", scenario, "--seconds", f"{seconds:g}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            reason = describe_failure(done.returncode, done.stderr)
            report.left_out.append(Refusal(label=f"depth_node, {scenario}", reason=reason))
            continue
        text = done.stdout.rstrip()
        report.node_overhead.append(
            NodeOverhead(scenario=scenario, seconds=seconds, text=text, overhead_ms=read_overhead_ms(text))
        )
        print(text, flush=True)


def _finish(report: BenchReport, args: argparse.Namespace) -> None:
    for refusal in report.left_out:
        print(f"left out: {refusal.label}: {refusal.reason}")
    if args.json is not None:
        write_text(args.json, report.to_json(), durable=True)
        print(f"every figure: {args.json}")
    if args.picture is not None:
        write_rgb(args.picture, draw_report(report))
        print(f"as bars: {args.picture}")
    print(f"done in {report.seconds:.0f} s")
