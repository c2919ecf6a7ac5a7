"""Times some models in alternation in one process, and measures their differences and their memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metric3d_ros.bench.alternation import Pace, Times, time_in_turn
from metric3d_ros.bench.candidates import HOST_PROVIDERS, Candidate, Maps, Runner, Task, open_runner
from metric3d_ros.bench.comparison import GPU_WARM_UP, compare_maps, make_task
from metric3d_ros.bench.gpu.chips import find_peak
from metric3d_ros.bench.gpu.record import Figure, Row
from metric3d_ros.bench.machine import describe_gpus
from metric3d_ros.comparison.differences import Difference
from metric3d_ros.comparison.differences import Figure as Measured
from metric3d_ros.engine import Tuning
from metric3d_ros.engine.attention import explain_attention
from metric3d_ros.engine.gpu.memory import read_gpu_memory
from metric3d_ros.errors import Metric3DError
from metric3d_ros.files.atomic import replacing

_TOLERANCE = 1e-3
_LEAST_ROUNDS, _MOST_ROUNDS = 5, 2000

Emit = Callable[[Row], None]


@dataclass(frozen=True, kw_only=True)
class TunedCandidate(Candidate):
    """A benchmark candidate with its own engine tuning."""

    tuned: Tuning
    reference: bool
    """Whether the ratio of every other one to it is of interest."""
    repeated: bool
    """Whether it is timed for the ratio alone, as other jobs of the section do too: it gets no row of its own."""

    @property
    def tuning(self) -> Tuning:
        return self.tuned


@dataclass(kw_only=True)
class _Opened:
    runner: Runner
    open_s: float
    first_run_s: float
    gpu_memory_mib: int | None
    differences: Sequence[Difference]


def time_members(section: str, arguments: Mapping[str, Any], emit: Emit) -> None:
    """Do a job of `jobs.TIME`: open the members, run them in turn, emit a row for each.

    What cannot be opened, or fails in a run, is a row with its reason.
    """
    members = [_candidate(each) for each in arguments["members"]]
    height, width = arguments["size_hw"]
    task = make_task((height, width), threads=arguments["threads"])
    on_device = members[0].provider not in HOST_PROVIDERS
    opened: dict[Candidate, _Opened] = {}
    times: dict[Candidate, Times] = {}
    expected: Maps = {}
    try:
        for member in members:
            try:
                opened[member] = _open(member, task, expected)
            except Metric3DError as error:
                emit(Row(section=section, label=member.name, reason=_one_line(error)))
        outputs = (
            frozenset.intersection(*(each.runner.available for each in opened.values())) if opened else frozenset()
        )
        times = time_in_turn(
            {member: each.runner for member, each in opened.items()},
            outputs=outputs,
            pace=Pace(
                seconds=arguments["seconds"],
                least=_LEAST_ROUNDS,
                most=_MOST_ROUNDS,
                warm_up=GPU_WARM_UP if on_device else 1,
            ),
            on_failure=lambda member, error: emit(Row(section=section, label=member.name, reason=_one_line(error))),
            # Beside a GPU no thread of the run before is still busy.
            sleep=(lambda _: None) if on_device else time.sleep,
        )
    finally:
        for each in opened.values():
            each.runner.close()
    gflop = _read_work(Path(arguments["work"])).get(f"{height}x{width}")
    for member in members:
        if member in times and not member.repeated:
            emit(Row(section=section, label=member.name, figures=_figures(member, opened[member], times, gflop)))


def _candidate(member: Mapping[str, Any]) -> TunedCandidate:
    model = member["model"]
    if member.get("attention") == "function":
        model = str(explained_model(Path(model)))
    return TunedCandidate(
        name=member["name"],
        model=model,
        provider=member["provider"],
        precision=member["precision"],
        variant=None,
        weights_sha256=None,
        stand_in_weights=True,
        in_pytorch=member.get("in_pytorch", False),
        tuned=Tuning(**member.get("tuning", {})),
        reference=member.get("reference", False),
        repeated=member.get("repeated", False),
    )


def explained_model(path: Path) -> Path:
    """Write, beside a model, the same with attention as a function of standard operators; return where."""
    content = path.read_bytes()
    explained = explain_attention(content)
    if explained is content:
        raise Metric3DError(f"{path.name} has no attention operator that it defines by a function as well")
    target = path.with_name(f"{path.stem}-function.onnx")
    with replacing(target) as file:
        file.write(explained)
    return target


def _open(member: TunedCandidate, task: Task, expected: Maps) -> _Opened:
    """Open a member and run it once; its maps become `expected` if there are none yet."""
    before = _used_mib()
    started_s = time.monotonic()
    runner = open_runner(member, task)
    opened_s = time.monotonic()
    try:
        found = runner.maps(runner.available)
        first_run_s = time.monotonic() - opened_s
        differences = compare_maps(found, {k: v for k, v in expected.items() if k in found}, tolerance=_TOLERANCE)
    except Metric3DError:
        runner.close()
        raise
    if not expected:
        expected.update(found)
    after = _used_mib()
    return _Opened(
        runner=runner,
        open_s=opened_s - started_s,
        first_run_s=first_run_s,
        gpu_memory_mib=None if before is None or after is None else after - before,
        differences=differences,
    )


def _figures(
    member: TunedCandidate, opened: _Opened, times: Mapping[Candidate, Times], gflop: float | None
) -> dict[str, Figure]:
    own = times[member]
    total = own.summary()
    figures: dict[str, Figure] = {"p50 ms": total.p50, "p99 ms": total.p99, "rounds": total.count}
    stages = own.stages()
    if "infer" in stages:
        figures["infer p50 ms"] = stages["infer"].p50
    for other, theirs in times.items():
        if isinstance(other, TunedCandidate) and other.reference and other is not member:
            ratio = own.ratio_to(theirs)
            if other.repeated:
                figures[f"{other.name}, p50 ms"] = theirs.summary().p50
            figures[f"/ {other.name}"] = f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
    if gflop is not None:
        tflops = gflop / total.p50  # 1e9 / ms = 1e12 / s
        figures["TFLOP/s"] = tflops
        peak = next((found for gpu in describe_gpus() if (found := find_peak(gpu["name"]))), None)
        if peak is not None and member.provider not in HOST_PROVIDERS:
            figures["of the data sheet's"] = tflops / (peak.half if "fp16" in member.precision else peak.single)
    if opened.gpu_memory_mib is not None:
        figures["GPU MiB"] = opened.gpu_memory_mib
    figures["open s"] = opened.open_s
    figures["first run s"] = opened.first_run_s
    return figures | difference_figures(opened.differences)


def difference_figures(differences: Sequence[Difference]) -> dict[str, Figure]:
    """Return, by output, how far all but 0.1 % of the pixels are off, and the largest difference in brackets."""
    figures: dict[str, Figure] = {}
    for each in differences:
        most, largest = each[Measured.MOST], each[Measured.LARGEST]
        words = f"{most:.1e} ({largest:.1e}){each.measure.unit}" if np.isfinite(most) else "not comparable"
        figures[f"{each.output} off by"] = words
    return figures


def _used_mib() -> int | None:
    memory = read_gpu_memory()
    return None if memory is None else memory.used_mib


def _read_work(path: Path) -> dict[str, float]:
    try:
        return dict(json.loads(path.read_text()))
    except OSError:
        return {}


def _one_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
