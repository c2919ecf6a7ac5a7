"""One comparison: a baseline and its candidates on one image; checks that they are equal, then times them in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from metric3d_ros.bench.alternation import Pace, Times, time_in_turn
from metric3d_ros.bench.candidates import HOST_PROVIDERS, Candidate, Maps, Runner, Task, TorchRunner, open_runner
from metric3d_ros.bench.one_process import Footprint, measure_footprint
from metric3d_ros.bench.statistics import PairedRatio, Summary
from metric3d_ros.comparison.differences import Difference, Figure, Measure, compare, equality_limits
from metric3d_ros.errors import InferenceError, Metric3DError
from metric3d_ros.estimation.estimator import NORMALS
from metric3d_ros.world.held_out import HeldOutScenes

FOCAL_OF_WIDTH = 0.8
_RENDERED_PIXELS = 300_000
GPU_WARM_UP = 10
"""Runs before a GPU has chosen its kernels, reached its clock rate and captured its graphs."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared at one size; the first of `members` is the baseline."""

    title: str
    size_hw: tuple[int, int]
    members: Sequence[Candidate]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Something that was not timed, and why; `differs` if its outputs are not those of the baseline."""

    label: str
    reason: str
    differs: bool = False


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One member's figures."""

    candidate: Candidate
    total: Summary
    """Milliseconds from pixels in memory to outputs in memory."""
    stages: dict[str, Summary]
    images_per_s: float
    cpu_percent: float
    ratio: PairedRatio | None
    """Times the baseline's; None for the baseline itself."""
    differences: Sequence[Difference]
    footprint: Footprint | None
    """None if it could not be measured."""
    peak_memory_mib: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it as names and values for JSON."""
        return {
            **dataclasses.asdict(self.candidate),
            "label": self.candidate.label,
            "total_ms": dataclasses.asdict(self.total),
            "stages_ms": {stage: dataclasses.asdict(summary) for stage, summary in self.stages.items()},
            "images_per_s": self.images_per_s,
            "cpu_percent": self.cpu_percent,
            "ratio": dataclasses.asdict(self.ratio) if self.ratio else None,
            "difference": {each.output: _difference_to_json(each) for each in self.differences},
            "peak_memory_mib": self.peak_memory_mib,
            "gpu_memory_mib": self.footprint.gpu_memory_mib if self.footprint else None,
            "load_s": self.footprint.load_s if self.footprint else None,
            "first_run_s": self.footprint.first_run_s if self.footprint else None,
        }


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The result of a comparison; `timed` starts with the baseline, and is empty if that could not run."""

    comparison: Comparison
    outputs: Sequence[str]
    threads: int
    gflop: float | None
    """1e9 multiplications and additions of an image in PyTorch; None if that was not run."""
    timed: Sequence[Timed]
    refused: Sequence[Refusal]

    def to_json(self) -> dict[str, Any]:
        """Return it as names and values for JSON."""
        return {
            "title": self.comparison.title,
            "size_hw": list(self.comparison.size_hw),
            "outputs": list(self.outputs),
            "threads": self.threads,
            "gflop": self.gflop,
            "rounds": self.timed[0].total.count if self.timed else 0,
            "timed": [each.to_json() for each in self.timed],
            "refused": [dataclasses.asdict(each) for each in self.refused],
        }


def make_task(size_hw: tuple[int, int], *, threads: int) -> Task:
    """Return a rendered room at a size, always the same one; large ones are rendered smaller and enlarged."""
    height, width = size_hw
    factor = min(1.0, (_RENDERED_PIXELS / (height * width)) ** 0.5)
    rendered_hw = (max(28, round(height * factor)), max(28, round(width * factor)))
    sample = next(iter(HeldOutScenes(count=1, size_hw=rendered_hw, focal_factor=FOCAL_OF_WIDTH)))
    rgb = np.asarray(cv2.resize(sample.rgb, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return Task(rgb=rgb, camera=sample.camera.scaled(width, height), threads=threads)


def compare_and_time(
    comparison: Comparison, task: Task, *, pace: Pace, tolerance: float, log: Callable[[str], None]
) -> Compared:
    """Open all members, compare their outputs with the baseline's, and time those that are equal.

    Members that cannot run here, or whose outputs differ, are refused. A reduced precision of the same weights may
    differ.
    """
    baseline, *others = comparison.members
    runners: dict[Candidate, Runner] = {}
    refused: list[Refusal] = []
    torch_peaks_mib: dict[Candidate, float] = {}
    gflop: float | None = None
    try:
        for member in comparison.members:
            log(f"{comparison.title}: loading {member.label}")
            try:
                runners[member] = _open_fitting(member, task, comparison.size_hw)
            except Metric3DError as error:
                refused.append(Refusal(label=member.label, reason=str(error)))
                if member == baseline:
                    return _nothing(comparison, task, refused)
        outputs = sorted(frozenset.intersection(*(runner.available for runner in runners.values())))
        log(f"comparing the outputs of {len(runners)}")
        try:
            expected = runners[baseline].maps(outputs)
        except Metric3DError as error:
            refused.append(Refusal(label=baseline.label, reason=str(error)))
            return _nothing(comparison, task, refused)
        differences = _require_equal(runners, baseline, expected, tolerance=tolerance, refused=refused)
        if others and len(runners) == 1:
            return _nothing(comparison, task, refused)
        on_device = any(member.provider not in HOST_PROVIDERS for member in runners)
        if on_device:
            pace = dataclasses.replace(pace, warm_up=max(pace.warm_up, GPU_WARM_UP))
        log(f"{comparison.title}: timing {len(runners)} in turn")
        times = time_in_turn(
            runners,
            outputs=outputs,
            pace=pace,
            on_failure=lambda member, error: refused.append(Refusal(label=member.label, reason=str(error))),
        )
        if baseline not in times or (others and len(times) == 1):
            return _nothing(comparison, task, refused)
        for member, runner in runners.items():
            if isinstance(runner, TorchRunner) and member in times:
                torch_peaks_mib[member] = runner.peak_memory_mib()
                gflop = gflop or runner.gflop()
    finally:
        for runner in runners.values():
            runner.close()
    timed = []
    for member in times:
        footprint = None if member in torch_peaks_mib else _footprint(member, comparison, outputs, task, refused, log)
        timed.append(
            _figures(
                member,
                times,
                baseline=baseline,
                differences=differences.get(member, []),
                footprint=footprint,
                peak_memory_mib=footprint.peak_memory_mib if footprint else torch_peaks_mib.get(member),
            )
        )
    return Compared(
        comparison=comparison, outputs=outputs, threads=task.threads, gflop=gflop, timed=timed, refused=refused
    )


def _nothing(comparison: Comparison, task: Task, refused: Sequence[Refusal]) -> Compared:
    return Compared(comparison=comparison, outputs=[], threads=task.threads, gflop=None, timed=[], refused=refused)


def _open_fitting(member: Candidate, task: Task, size_hw: tuple[int, int]) -> Runner:
    """Open a member; InferenceError if it takes images of another size only."""
    runner = open_runner(member, task)
    if runner.fixed_size_hw not in (None, size_hw):
        height, width = runner.fixed_size_hw or size_hw
        runner.close()
        raise InferenceError(
            f"it takes images of {height}x{width} only, so that elsewhere resizing would be compared as well: "
            f"--sizes {height}x{width}"
        )
    return runner


def _require_equal(
    runners: dict[Candidate, Runner],
    baseline: Candidate,
    expected: Maps,
    *,
    tolerance: float,
    refused: list[Refusal],
) -> dict[Candidate, list[Difference]]:
    """Close and remove from `runners` what differs from the baseline beyond the tolerance; return all differences."""
    same_weights = {baseline.weights_sha256} - {None}
    found: dict[Candidate, list[Difference]] = {}
    # Float32 first: only weights that equal the baseline's allow their reduced precisions.
    for member in sorted((each for each in runners if each != baseline), key=lambda each: each.reduced):
        try:
            differences = compare_maps(runners[member].maps(list(expected)), expected, tolerance=tolerance)
        except Metric3DError as error:
            refused.append(Refusal(label=member.label, reason=str(error)))
            runners.pop(member).close()
            continue
        excess = describe_excess(differences)
        if excess is None or (member.reduced and member.weights_sha256 in same_weights):
            found[member] = differences
            same_weights |= {member.weights_sha256} - {None}
        else:
            refused.append(
                Refusal(label=member.label, reason=f"{excess}: what is not equal is not timed", differs=True)
            )
            runners.pop(member).close()
    return found


def compare_maps(found: Maps, expected: Maps, *, tolerance: float) -> list[Difference]:
    """Compare the outputs that `expected` has; one that `found` lacks is infinitely different."""
    limits = {
        name: equality_limits(tolerance, Measure.ANGLE if name == NORMALS else Measure.ABSOLUTE_BELOW_ONE)
        for name in expected
    }
    return [compare(name, found.get(name), array, limits[name], holes=True) for name, array in expected.items()]


def describe_excess(differences: Sequence[Difference]) -> str | None:
    """Describe the output that exceeds its limit by the most; None if all are acceptable."""
    bad = [each for each in differences if not each.acceptable]
    if not bad:
        return None
    worst = max(bad, key=lambda each: each[Figure.MOST] / each.limit(Figure.MOST))
    unit = worst.measure.unit
    return (
        f"{worst.output} differs by {worst[Figure.MOST]:.1e}{unit} (largest {worst[Figure.LARGEST]:.1e}), accepted "
        f"{worst.limit(Figure.MOST):.0e}{unit}"
    )


def _difference_to_json(difference: Difference) -> dict[str, Any]:
    """Return the figures for JSON, which has no word for infinity."""
    most, largest = (
        value if np.isfinite(value) else None for value in (difference[Figure.MOST], difference[Figure.LARGEST])
    )
    return {"most": most, "largest": largest, "unit": difference.measure.unit.strip() or difference.measure.value}


def _footprint(
    member: Candidate,
    comparison: Comparison,
    outputs: Sequence[str],
    task: Task,
    refused: list[Refusal],
    log: Callable[[str], None],
) -> Footprint | None:
    log(f"{comparison.title}: memory of {member.label}")
    try:
        return measure_footprint(member, size_hw=comparison.size_hw, outputs=outputs, threads=task.threads)
    except InferenceError as error:
        refused.append(Refusal(label=f"memory of {member.label}", reason=str(error)))
        return None


def _figures(
    member: Candidate,
    times: dict[Candidate, Times],
    *,
    baseline: Candidate,
    differences: Sequence[Difference],
    footprint: Footprint | None,
    peak_memory_mib: float | None,
) -> Timed:
    own = times[member]
    assert np.isfinite(own.total_ms).all()
    return Timed(
        candidate=member,
        total=own.summary(),
        stages=own.stages(),
        images_per_s=own.images_per_s(),
        cpu_percent=own.cpu_percent(),
        ratio=None if member == baseline else own.ratio_to(times[baseline]),
        differences=differences,
        footprint=footprint,
        peak_memory_mib=peak_memory_mib,
    )
