"""`metric3d evaluate --sequence`: how steady depth is from frame to frame, before and after `stability.*`."""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from metric3d_ros.comparison.flicker import ABS_REL, FLICKER, SCALE_STEP, SteadinessMeter
from metric3d_ros.comparison.labelled_images import Sample
from metric3d_ros.corrections import CorrectionOptions, DepthCorrector
from metric3d_ros.errors import DataError
from metric3d_ros.estimation.estimator import Estimate
from metric3d_ros.evaluation.flights import HeldOutFlights

AS_ESTIMATED = "as estimated"
VARIANTS: Mapping[str, CorrectionOptions] = {
    AS_ESTIMATED: CorrectionOptions(),
    "stability.scale": CorrectionOptions(steady_scale=True),
    "stability.temporal": CorrectionOptions(average=True),
    "both": CorrectionOptions(steady_scale=True, average=True),
}
"""What is compared, as the node's parameters have it."""

RATE_HZ = 10.0
"""The stamps that frames get; none of the compared corrections depends on it."""

_COLUMNS = ((FLICKER, "flicker %", 100), (SCALE_STEP, "scale step %", 100), (ABS_REL, "AbsRel %", 100))

Sequences = Iterable[tuple[str, Iterable[Sample]]]


@dataclass(frozen=True)
class SequenceFigures:
    """One sequence: its name, how many frames it has, and the figures of each of `VARIANTS`."""

    name: str
    frames: int
    by_variant: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class SteadinessResult:
    """All sequences, and what they were measured with."""

    sequences: Sequence[SequenceFigures]
    settings: Mapping[str, Any]

    def means(self) -> dict[str, dict[str, float]]:
        """Return each variant's figures as the mean of the sequences that have them."""
        return {
            variant: {
                figure: _mean([each.by_variant[variant][figure] for each in self.sequences]) for figure, *_ in _COLUMNS
            }
            for variant in VARIANTS
        }

    def to_table(self) -> str:
        """Return a table for a terminal."""
        rows = [(f"{each.name} ({each.frames} frames)", each.by_variant) for each in self.sequences]
        if len(rows) > 1:
            rows.append(("mean of the sequences", self.means()))
        left = max(len(name) for name in ["sequence", *(name for name, _ in rows)]) + 2
        lines = [f"{'sequence':<{left}}{'':<20}" + "".join(f"{heading:>14}" for _, heading, _ in _COLUMNS)]
        for name, by_variant in rows:
            for variant, figures in by_variant.items():
                cells = "".join(f"{_cell(figures[figure] * unit):>14}" for figure, _, unit in _COLUMNS)
                lines.append(f"{name if variant == AS_ESTIMATED else '':<{left}}{variant:<20}{cells}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return everything as JSON; parts of 1, and null for what is not known."""
        content = {
            "settings": dict(self.settings),
            "mean": _known(self.means()),
            "sequences": [
                {"name": each.name, "frames": each.frames, **_known(each.by_variant)} for each in self.sequences
            ],
        }
        return json.dumps(content, indent=2)


def evaluate_sequences(
    sequences: Sequences,
    estimate: Callable[..., Estimate],
    *,
    limit: int | None = None,
    max_depth_m: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> SteadinessResult:
    """Estimate each sequence (or its first `limit` frames) in order and measure it; progress goes to stderr.

    `estimate` takes the image and its camera, as `Estimator.estimate` does. Raises DataError for a sequence of less
    than two frames, and for one in which no pixel has both depths.
    """
    found = []
    for name, samples in sequences:
        meters = {variant: SteadinessMeter() for variant in VARIANTS}
        correctors = {variant: DepthCorrector() for variant in VARIANTS}
        count = 0
        chosen = itertools.islice(samples, limit)
        for frame in tqdm(chosen, desc=name, unit="frame", dynamic_ncols=True, disable=None):
            sample = replace(
                frame, max_depth_m=min(frame.max_depth_m, math.inf if max_depth_m is None else max_depth_m)
            )
            result = estimate(sample.rgb, sample.camera)
            for variant, options in VARIANTS.items():
                corrected = correctors[variant].apply(result, sample.rgb, count / RATE_HZ, options=options)
                meters[variant].add(sample, _along_axis(corrected.estimate))
            count += 1
        if count < 2:
            raise DataError(f"{name} has {count} frames, expected at least 2 to compare one with the next")
        by_variant = {variant: meter.figures() for variant, meter in meters.items()}
        if math.isnan(by_variant[AS_ESTIMATED][ABS_REL]):
            raise DataError(f"{name}: no pixel has both an estimated and a true depth")
        found.append(SequenceFigures(name, count, by_variant))
    return SteadinessResult(found, settings or {})


def flights_as_sequences(flights: HeldOutFlights) -> Iterator[tuple[str, Iterator[Sample]]]:
    """Yield the name and the samples of each flight; frames are rendered as they are asked for."""
    for flight in flights:
        yield flight.name, (frame.to_sample() for frame in flight)


def groups_as_sequences(samples: Iterable[Sample]) -> Iterator[tuple[str, Iterator[Sample]]]:
    """Yield the name and the samples of each group of a folder; take each to its end before the next."""
    yield from itertools.groupby(samples, key=lambda sample: sample.group)


def _along_axis(estimate: Estimate) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the depth along the optical axis, which is what true depth is; NaN beside and behind the camera."""
    if not estimate.camera.along_rays:
        return estimate.depth_m
    z = estimate.camera.rays()[..., 2]
    with np.errstate(invalid="ignore"):
        return np.where(z > 0, estimate.depth_m * z, np.float32(np.nan))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _cell(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _known(by_variant: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {
        variant: {figure: value if math.isfinite(value) else None for figure, value in figures.items()}
        for variant, figures in by_variant.items()
    }
