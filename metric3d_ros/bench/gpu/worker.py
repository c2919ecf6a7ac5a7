"""One job of a GPU report in a process of its own: `python -m metric3d_ros.bench.gpu.worker JOB`.

JOB is JSON. Each row is a line of JSON on standard output as soon as it is known; what libraries print goes to standard
error. A job that fails ends with one line there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from metric3d_ros.bench.gpu import jobs
from metric3d_ros.bench.gpu.record import Figure, Row
from metric3d_ros.errors import ExportError, Metric3DError
from metric3d_ros.program import describe_failure

Emit = Callable[[Row], None]


def make_models(section: str, arguments: Mapping[str, Any], emit: Emit) -> None:
    """Have the export tool write models, and note how much work an image is."""
    folder = arguments["folder"]
    command = ["metric3d_export.stand_ins", arguments["variant"], *arguments["models"], "--folder", folder]
    told = _run_export([*command, "--work", *arguments["sizes"]])
    jobs.work_path(arguments["variant"], Path(folder)).write_text(json.dumps(told["gflop"]))
    figures: dict[str, Figure] = {f"{name.split('-', 1)[1]}, s": seconds for name, seconds in told["seconds"].items()}
    figures |= {f"GFLOP at {size}": gflop for size, gflop in told["gflop"].items()}
    emit(Row(section=section, label=arguments["variant"], figures=figures))


def measure_speed(section: str, arguments: Mapping[str, Any], emit: Emit) -> None:
    """Have PyTorch multiply large matrices."""
    side = ["--side", "512", "--seconds", "0.2"] if arguments["device"] == "cpu" else []
    told = _run_export(["metric3d_export.matrix_speed", "--device", arguments["device"], *side])
    emit(Row(section=section, label="TFLOP/s", figures=dict(told)))


def measure_node(section: str, arguments: Mapping[str, Any], emit: Emit) -> None:
    """Run depth_node with a stub camera."""
    from metric3d_ros.bench.node import stages

    task = stages.NodeTask(
        model=arguments["model"],
        provider=arguments["provider"],
        size_hw=tuple(arguments["size_hw"]),
        threads=arguments["threads"],
        image_ms=1e3 / 30,
        seconds=arguments["seconds"],
    )
    measured = stages.measure_node(task, title=section)
    label = arguments["model"].rpartition("/")[2]
    shown = {stage: summary for stage, summary in measured.stages.items() if stage in (*stages.SHOWN, "age")}
    for stage, summary in shown.items():
        figures: dict[str, Figure] = {"p50 ms": summary.p50, "p99 ms": summary.p99, "frames": summary.count}
        emit(Row(section=section, label=f"{label}, {stage}", figures=figures))


def do_job(job: Mapping[str, Any], emit: Emit) -> None:
    """Do one job; raises Metric3DError if it fails as a whole."""
    # Imported lazily: a job needs only one of them.
    if job["kind"] == jobs.TIME:
        from metric3d_ros.bench.gpu.timing import time_members as work
    elif job["kind"] == jobs.COMPARE:
        from metric3d_ros.bench.gpu.correctness import compare_with_cpu as work
    elif job["kind"] == jobs.MEMORY:
        from metric3d_ros.bench.gpu.correctness import exhaust_memory as work
    elif job["kind"] == jobs.PIPELINE:
        from metric3d_ros.bench.gpu.pipeline import run_pipeline as work
    else:
        work = {jobs.MAKE: make_models, jobs.SPEED: measure_speed, jobs.NODE: measure_node}[job["kind"]]
    work(job["section"], job["arguments"], emit)


def _run_export(words: list[str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise ExportError(f"{words[0]}: {describe_failure(done.returncode, done.stderr)}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _main() -> int:
    rows = _take_stdout()

    def emit(row: Row) -> None:
        print(json.dumps(dataclasses.asdict(row), allow_nan=False), file=rows, flush=True)

    try:
        do_job(json.loads(sys.argv[1]), emit)
    except (Metric3DError, OSError, MemoryError) as error:
        # With its kind, by which the parent tells it from the hints that libraries print at their end.
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _take_stdout() -> TextIO:
    """Return standard output, and send what anybody else prints there to standard error."""
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return own


if __name__ == "__main__":
    sys.exit(_main())
