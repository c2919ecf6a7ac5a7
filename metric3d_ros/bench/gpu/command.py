"""`metric3d bench --gpu-report`: runs the jobs within a time budget and rewrites the report after every row."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from metric3d_ros.bench.benchmark_record import BenchReport
from metric3d_ros.bench.gpu.jobs import CAMERA_HW, SIZES_HW, VARIANTS, Job, Wish, plan_jobs
from metric3d_ros.bench.gpu.record import GpuReport, Row
from metric3d_ros.bench.models import missing_for_export, models_folder
from metric3d_ros.bench.node.stages import ros_missing
from metric3d_ros.files.atomic import write_text
from metric3d_ros.parent_process import end_with_parent
from metric3d_ros.program import describe_failure

MINUTES = 7.0
SECONDS = 3.0
"""Of the timing of each comparison."""

_END_S = 2.0
"""Kept back for the report's own end."""

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The user's choice; None for the default."""

    path: Path
    """Markdown; the same figures go to `json_path`, if that is given."""
    json_path: Path | None = None
    minutes: float = MINUTES
    provider: str = "cuda"
    variants: Sequence[str] | None = None
    sizes_hw: Sequence[tuple[int, int]] | None = None
    seconds: float = SECONDS
    threads: int = 0
    pytorch: bool = True
    node: bool = True
    camera_hw: tuple[int, int] = CAMERA_HW


@dataclass
class Writer:
    """The report, rewritten whenever something is added."""

    report: GpuReport
    options: Options
    started_s: float = field(default_factory=time.monotonic)

    def add(self, row: Row) -> None:
        """Add a row."""
        self.report.rows.append(row)
        self.write()

    def leave_out(self, row: Row) -> None:
        """Add something that is not measured."""
        self.report.left_out.append(row)
        self.write()

    def finish(self) -> None:
        """Mark the report as finished."""
        self.report.state = "finished"
        self.write()

    def write(self) -> None:
        """Write the files, each whole or not at all."""
        self.report.setting.seconds = time.monotonic() - self.started_s
        write_text(self.options.path, self.report.to_markdown(), durable=True)
        if self.options.json_path is not None:
            write_text(self.options.json_path, self.report.to_json(), durable=True)


def write_gpu_report(setting: BenchReport, options: Options, *, log: Log) -> int:
    """Measure and write; return 0, or 1 if no row has a figure."""
    writer = Writer(GpuReport(setting=setting), options)
    setting.settings |= {"provider": options.provider, "minutes": options.minutes, "seconds": options.seconds}
    missing = missing_for_export()
    for reason, what in ((missing, "models and PyTorch"), (None if options.pytorch else "--no-pytorch", "PyTorch")):
        if reason:
            writer.leave_out(Row(section="all", label=what, reason=f"{reason} is not installed" if missing else reason))
    no_node = "--no-node" if not options.node else ros_missing()
    if no_node:
        writer.leave_out(Row(section="depth_node", label="over DDS", reason=no_node))
    wish = Wish(
        variants=options.variants or VARIANTS,
        sizes_hw=options.sizes_hw or SIZES_HW,
        camera_hw=options.camera_hw,
        provider=options.provider,
        pytorch=options.pytorch and not missing,
        models=not missing,
        node=not no_node,
        threads=options.threads,
        seconds=options.seconds,
        folder=(models_folder() / "stand_ins") if not missing else Path(),
    )
    writer.write()
    deadline_s = writer.started_s + 60 * options.minutes - _END_S
    run_jobs(plan_jobs(wish), writer, deadline_s=deadline_s, log=log)
    writer.finish()
    return 0 if any(row.figures for row in writer.report.rows) else 1


def run_jobs(planned: Sequence[Job], writer: Writer, *, deadline_s: float, log: Log) -> None:
    """Run jobs one after another as long as there is time for them; a failed job is a row with its reason."""
    for job in planned:
        left_s = deadline_s - time.monotonic()
        if left_s < job.least_s:
            reason = f"{max(left_s, 0):.0f} s were left, and it may take {job.least_s:.0f}"
            writer.leave_out(Row(section=job.section, label=job.label, reason=reason))
            continue
        log(f"{job.section}: {job.label}")
        started_s = time.monotonic()
        failure = run_job(job, writer.add, seconds=min(job.most_s, left_s))
        if failure:
            writer.add(Row(section=job.section, label=job.label, reason=failure))
        log(f"  {time.monotonic() - started_s:.1f} s{f', failed: {failure}' if failure else ''}")


def run_job(job: Job, emit: Callable[[Row], None], *, seconds: float) -> str:
    """Run one job in a process of its own and emit its rows as they come; return why it failed, "" if it did not.

    After `seconds` it is ended, with all processes that it has started.
    """
    command = [sys.executable, "-m", "metric3d_ros.bench.gpu.worker", json.dumps(dataclasses.asdict(job))]
    ends_s = time.monotonic() + seconds
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, preexec_fn=end_with_parent
        )
        assert process.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True)
        reader.start()
        in_time = True
        try:
            while True:
                try:
                    line = lines.get(timeout=max(0.0, ends_s - time.monotonic()))
                except queue.Empty:
                    in_time = False
                    break
                if line is None:
                    break
                emit(Row(**json.loads(line)))
        finally:
            # Its own children too, such as PyTorch's process.
            with contextlib.suppress(ProcessLookupError):
                if not in_time or sys.exc_info()[0] is not None:
                    os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
            reader.join()
            process.stdout.close()
        if not in_time:
            return f"it was ended after {seconds:.0f} s"
        log.seek(0)
        return describe_failure(status, log.read()) if status else ""


def _read_lines(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
