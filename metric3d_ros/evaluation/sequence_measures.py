"""What the corrections of depth are worth on a sequence with known truth, raw and corrected side by side.

`python -m metric3d_ros.evaluation.sequence_measures` measures them on flights that no training of the demo model saw.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.command_line import require_numbers
from metric3d_ros.comparison.flicker import ABS_REL, FLICKER, SCALE_STEP, SteadinessMeter
from metric3d_ros.comparison.flying_pixels import FilterCounts, count_filtered, label_flying_pixels
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.evaluation.flights import FlightFrame, HeldOutFlights, level_flight
from metric3d_ros.geometry import (
    GroundPlane,
    ObstacleOptions,
    cell_normals_from_depth,
    depth_edges,
    depth_to_points,
    find_flying_pixels,
    find_ground,
    find_obstacles,
    normals_from_depth,
)
from metric3d_ros.program import program
from metric3d_ros.scale import (
    MotionEstimator,
    ScaleStabiliser,
    ScaleTracker,
    TemporalFilter,
    scale_from_camera_height,
    scale_from_ranges,
)
from metric3d_ros.world.rendering.viewpoint import MOST_FRAMES

FloatImage = npt.NDArray[np.float32]

RATE_HZ = 10.0
WRONG_SCALE = 1.3
"""The calibration's error that the scale estimators have to take out."""
UNEVEN = 0.03
"""Standard deviation of the logarithm of a smooth error of depth."""
_RANGES, _LIARS = 20, 2
_LEAST_FLOOR = 0.1
_OBSTACLES = ObstacleOptions(max_range_m=5.0)
_EXACT_OBSTACLES = ObstacleOptions(max_range_m=5.0, tilt_tolerance_rad=0.0)


@dataclass
class SequenceMeasures:
    """Sums and series over the frames of one sequence; `figures` condenses them."""

    steadiness: dict[str, SteadinessMeter] = field(default_factory=dict)
    filters: dict[str, FilterCounts] = field(default_factory=dict)
    tilts_deg: list[float] = field(default_factory=list)
    heights_m: list[float] = field(default_factory=list)
    grounds_refused: int = 0
    obstacles: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    """Hits, false ones, missed ones, in pixels."""
    scale_errors: dict[str, list[float]] = field(default_factory=dict)
    normals_deg: dict[str, list[float]] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """Return every figure by name; percentages are parts of 1."""
        found: dict[str, float] = {}
        for name, meter in self.steadiness.items():
            figures = meter.figures()
            found[f"flicker {name}"], found[f"scale step {name}"] = figures[FLICKER], figures[SCALE_STEP]
            found[f"AbsRel {name}"] = figures[ABS_REL]
        for name, counts in self.filters.items():
            found[f"flying removed {name}"], found[f"good lost {name}"] = counts.recall, counts.loss
            found["flying share"] = counts.flying_share
        if self.tilts_deg:
            tilts, heights = np.asarray(self.tilts_deg), np.abs(self.heights_m)
            found |= {
                "ground tilt median deg": float(np.median(tilts)),
                "ground height median m": float(np.median(heights)),
                "ground within 2 deg and 3 cm": float(np.mean((tilts < 2) & (heights < 0.03))),
                "ground refused": float(self.grounds_refused),
            }
        hits, false, missed = (int(count) for count in self.obstacles)
        if hits:
            found |= {"obstacle recall": hits / (hits + missed), "obstacle precision": hits / (hits + false)}
        second = round(RATE_HZ)
        for name, series in self.scale_errors.items():
            late = np.abs(series[second:])
            found[f"scale error after 1 s, {name}"] = float(np.median(late)) if late.size else math.nan
            found[f"largest scale error after 1 s, {name}"] = float(np.max(late)) if late.size else math.nan
        found |= {f"normals mean deg, {name}": float(np.mean(angles)) for name, angles in self.normals_deg.items()}
        return found


def measure_sequence(frames: Iterable[FlightFrame], estimate: Callable[..., Estimate]) -> SequenceMeasures:
    """Estimate the frames in order and measure each correction against the truth, with the raw value beside it."""
    measures = SequenceMeasures()
    motions, stabiliser, temporal = MotionEstimator(), ScaleStabiliser(), TemporalFilter()
    trackers = {"raw": None, "camera height": ScaleTracker(), "ranges": ScaleTracker()}
    rng = np.random.default_rng(0)
    for index, frame in enumerate(frames):
        result = estimate(frame.rgb, frame.camera)
        depth = result.depth_m
        motion = motions.update(depth, frame.rgb, frame.camera)
        factor = stabiliser.update(motion)
        steady = depth * np.float32(factor)
        filtered = temporal.update(steady, motion, factor=factor)
        for name, image in (("raw", depth), ("steadied", steady), ("filtered", filtered)):
            measures.steadiness.setdefault(name, SteadinessMeter()).add(frame.to_sample(), image)
        _measure_edges(measures, frame, result)
        _measure_ground(measures, frame, result)
        _measure_scale(measures, frame, result, trackers, index / RATE_HZ, rng)
        _measure_normals(measures, frame, result)
    return measures


def _measure_edges(measures: SequenceMeasures, frame: FlightFrame, result: Estimate) -> None:
    scale = np.float32(np.nanmedian(frame.true_depth_m / result.depth_m))
    flying = label_flying_pixels(result.depth_m * scale, frame.true_depth_m)
    removed = {
        "max_jump 0.1": depth_edges(result.depth_m),
        "flying-pixel filter": find_flying_pixels(result.depth_m, frame.camera, normals=result.normals),
    }
    for name, mask in removed.items():
        counts = count_filtered(flying, mask, frame.true_depth_m)
        measures.filters[name] = measures.filters.get(name, FilterCounts()) + counts


def _measure_ground(measures: SequenceMeasures, frame: FlightFrame, result: Estimate) -> None:
    if np.mean(np.abs(frame.true_heights_m()) < 0.02) < _LEAST_FLOOR:
        return
    ground = find_ground(result.depth_m, frame.camera, normals=result.normals)
    if not isinstance(ground, GroundPlane):
        measures.grounds_refused += 1
        return
    measures.tilts_deg.append(math.degrees(math.acos(min(1.0, float(ground.normal @ frame.up)))))
    measures.heights_m.append(ground.height_m - frame.height_m)
    true_ground = GroundPlane(
        normal=frame.up, height_m=frame.height_m, covariance=np.zeros((4, 4)), share=1.0, spread=0.0
    )
    truth = find_obstacles(depth_to_points(frame.true_depth_m, frame.camera), true_ground, options=_EXACT_OBSTACLES)
    found = find_obstacles(depth_to_points(result.depth_m, frame.camera), ground, options=_OBSTACLES)
    measures.obstacles += [int((truth & found).sum()), int((found & ~truth).sum()), int((truth & ~found).sum())]


def _measure_scale(
    measures: SequenceMeasures,
    frame: FlightFrame,
    result: Estimate,
    trackers: dict[str, ScaleTracker | None],
    stamp_s: float,
    rng: np.random.Generator,
) -> None:
    """Make depth wrong by `WRONG_SCALE` and note how wrong its scale is after each tracker: log ratio to the truth."""
    wrong = result.depth_m * np.float32(WRONG_SCALE)
    error = float(np.nanmedian(np.log(wrong / frame.true_depth_m)))
    points = depth_to_points(frame.true_depth_m, frame.camera).reshape(-1, 3)
    ranges = points[rng.integers(len(points), size=_RANGES)]
    ranges[:_LIARS] *= rng.uniform(1.5, 4, (_LIARS, 1))
    for name, tracker in trackers.items():
        factor = 1.0
        if tracker is not None:
            if name == "ranges":
                measured = scale_from_ranges(wrong, frame.camera, ranges)
            else:
                ground = find_ground(wrong, frame.camera, normals=result.normals)
                measured = scale_from_camera_height(ground, height_m=frame.height_m)
            factor = tracker.update(measured, stamp_s).factor
        measures.scale_errors.setdefault(name, []).append(error + math.log(factor))


def _measure_normals(measures: SequenceMeasures, frame: FlightFrame, result: Estimate) -> None:
    candidates = {
        "network": result.normals,
        "depth": normals_from_depth(result.depth_m, frame.camera),
        "cells of depth": cell_normals_from_depth(result.depth_m, frame.camera),
        "true depth": normals_from_depth(frame.true_depth_m, frame.camera),
    }
    for name, normals in candidates.items():
        if normals is not None:
            cosine = np.clip(np.sum(normals * frame.true_normals, axis=2), -1, 1)
            measures.normals_deg.setdefault(name, []).append(float(np.degrees(np.nanmean(np.arccos(cosine)))))


def exact(frame: FlightFrame) -> Estimate:
    """Return what a perfect network would say of a frame."""
    return Estimate(frame.true_depth_m, None, frame.true_normals, frame.camera, frame.camera.size_hw, {})


def uneven(frame: FlightFrame, rng: np.random.Generator) -> Estimate:
    """Return true depth times a smooth field that differs by `UNEVEN` over the image, another one in each frame."""
    field = rng.normal(size=(4, 5)).astype(np.float32)
    field = np.asarray(cv2.resize(field, frame.true_depth_m.shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    factor = np.exp(field * np.float32(UNEVEN / field.std()))
    return replace(exact(frame), depth_m=np.asarray(frame.true_depth_m * factor, np.float32))


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure held-out flights and print every figure as JSON, one line for each flight and one with their means."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_ros.evaluation.sequence_measures", description=__doc__)
    parser.add_argument("--model", default="demo", help="an ONNX file, a name such as vit_small, or 'demo' (default)")
    parser.add_argument(
        "--depth",
        default="model",
        choices=("model", "true", "uneven"),
        help="whose depth: the model's (default), the true one, or the true one times a smooth field of 3 %%; the last "
        "two tell what the corrections miss by themselves",
    )
    parser.add_argument("--flights", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=60, help="of each flight (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all (default)")
    args = parser.parse_args(arguments)
    require_numbers(args, "flights", least=1)
    require_numbers(args, "frames", least=1, most=MOST_FRAMES)
    require_numbers(args, "threads", least=0, most=MOST_THREADS)
    estimator = Estimator(open_model(args.model, threads=args.threads)) if args.depth == "model" else None
    print_with_means("sequence", _measured(args, estimator))
    return 0


def _measured(args: argparse.Namespace, estimator: Estimator | None) -> Iterator[tuple[str, dict[str, float]]]:
    for flight in HeldOutFlights(count=args.flights, frames=args.frames):
        rng = np.random.default_rng(0)
        frames = level_flight(flight)
        if estimator is not None:
            estimates = (estimator.estimate(frame.rgb, frame.camera) for frame in frames)
        else:
            estimates = (exact(frame) if args.depth == "true" else uneven(frame, rng) for frame in frames)
        measured = measure_sequence(frames, lambda rgb, camera, estimates=estimates: next(estimates))
        yield flight.name, measured.figures()


def print_with_means(title: str, found: Iterable[tuple[str, dict[str, float]]]) -> None:
    """Print the figures of each flight as a line of JSON as soon as they are there, then the mean of each figure.

    Args:
        title: of the flights' names.
        found: name and figures of each flight.
    """
    all_figures = []
    for name, figures in found:
        all_figures.append(figures)
        print(json.dumps({title: name, **_rounded(figures)}), flush=True)
    names = dict.fromkeys(name for figures in all_figures for name in figures)
    means = {name: float(np.mean([each[name] for each in all_figures if name in each])) for name in names}
    print(json.dumps({title: "mean", **_rounded(means)}, indent=1))


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in figures.items()}


if __name__ == "__main__":
    sys.exit(main())
