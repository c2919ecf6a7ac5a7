"""Drives that could send the estimate of the scale off: over a ramp, a view without floor, a hand before the camera.

`python -m metric3d_ros.evaluation.hard_drives` states how far the scale runs off on each, with the true depth 30 % too
large, and with a model's depth.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.command_line import require_numbers
from metric3d_ros.corrections import CorrectionOptions, DepthCorrector, ScaleSource
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.evaluation.flights import FlightFrame, render_frame
from metric3d_ros.evaluation.sequence_measures import WRONG_SCALE, exact
from metric3d_ros.geometry import depth_to_points
from metric3d_ros.program import program
from metric3d_ros.world.description.materials import ceiling, crate, plain, planks, plaster, tiles, wood
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import Scene, SceneDraft, turn
from metric3d_ros.world.rendering.viewpoint import Pose, look

FloatImage = npt.NDArray[np.float32]

HEIGHT_M = 0.6
"""The camera's height above what the robot stands on."""
RATE_HZ = 10.0
FRAMES = 60
_PITCH_DEG, _SPEED_M_S = -12.0, 0.8
_SIZE, _HFOV_DEG = (336, 252), 70.0
_ROOM_M = (12.0, 5.0, 2.8)
_RAMP_FROM_M, _RAMP_DEG, _RAMP_LENGTH_M = 4.0, 8.0, 2.5
_WHEELBASE_M = 0.4
_WITHOUT_FLOOR = range(20, 40)
_HAND = range(20, 30)
_HAND_M = 0.3
_RANGES, _LIARS = 20, 2


def ramp(size: tuple[int, int] = _SIZE) -> Iterator[FlightFrame]:
    """Drive towards a ramp of 8 degrees, up and onto the platform behind it; `size` is width and height in pixels."""
    scene, camera = _room(with_ramp=True), Camera.from_hfov(*size, hfov_deg=_HFOV_DEG)
    for index in range(FRAMES):
        x = 1.5 + _SPEED_M_S * index / RATE_HZ
        rear, front = _floor_at(x - _WHEELBASE_M), _floor_at(x)
        climb = math.atan2(front - rear, _WHEELBASE_M)
        pose = look((x, 2.5, front + HEIGHT_M / math.cos(climb)), yaw=0.0, pitch=math.radians(_PITCH_DEG) + climb)
        yield render_frame(scene, pose, camera, noise_seed=index)


def without_floor(size: tuple[int, int] = _SIZE) -> Iterator[FlightFrame]:
    """Drive on level ground, with a view of walls and ceiling only for two seconds."""
    scene, camera = _room(), Camera.from_hfov(*size, hfov_deg=_HFOV_DEG)
    for index in range(FRAMES):
        pitch = 28.0 if index in _WITHOUT_FLOOR else _PITCH_DEG
        pose = look((1.5 + 0.05 * index, 2.2, HEIGHT_M), yaw=0.2, pitch=math.radians(pitch))
        yield render_frame(scene, pose, camera, noise_seed=index)


def hand(size: tuple[int, int] = _SIZE) -> Iterator[FlightFrame]:
    """Drive on level ground, with a hand before the camera for one second that covers about half of the view."""
    empty, camera = _room(), Camera.from_hfov(*size, hfov_deg=_HFOV_DEG)
    for index in range(FRAMES):
        pose = look((1.5 + 0.05 * index, 2.2, HEIGHT_M), yaw=0.2, pitch=math.radians(_PITCH_DEG))
        scene = _room(hand_at=pose) if index in _HAND else empty
        yield render_frame(scene, pose, camera, noise_seed=index)


DRIVES: Mapping[str, Callable[..., Iterator[FlightFrame]]] = {
    "ramp": ramp,
    "no floor": without_floor,
    "hand": hand,
}


def excursions(frames: Sequence[FlightFrame], estimates: Sequence[Estimate]) -> dict[str, dict[str, float]]:
    """Return by source how far depth is off after correction, as a median log ratio, from the second second on.

    Also how far the factor moved from its value after the first second, and in which part of the frames it was held.
    The depth of `estimates` is too large by `WRONG_SCALE`. The ranges are of a sensor in the camera's place that does
    not see the hand, and of which two of twenty lie.
    """
    second = round(RATE_HZ)
    found: dict[str, dict[str, float]] = {}
    options = {
        "camera height": CorrectionOptions(scale=ScaleSource(camera_height_m=HEIGHT_M)),
        "ranges": CorrectionOptions(scale=ScaleSource(ranges=True)),
    }
    for source, chosen in options.items():
        rng, corrector, errors, refused = np.random.default_rng(0), DepthCorrector(), [], 0
        factors = []
        for index, (frame, estimate) in enumerate(zip(frames, estimates, strict=True)):
            ranges = _ranges(frame, rng) if chosen.scale.ranges else None
            corrected = corrector.apply(estimate, frame.rgb, index / RATE_HZ, options=chosen, ranges=ranges)
            assert corrected.scale is not None
            errors.append(float(np.nanmedian(np.log(corrected.estimate.depth_m / frame.true_depth_m))))
            factors.append(math.log(corrected.scale.factor))
            refused += bool(corrected.scale.refused)
        late = np.abs(errors[second:])
        found[source] = {
            "largest": float(late.max()),
            "median": float(np.median(late)),
            "at the end": float(late[-1]),
            "factor moved": float(np.abs(np.subtract(factors[second:], factors[second])).max()),
            "refused": refused / len(errors),
        }
    return found


def _ranges(frame: FlightFrame, rng: np.random.Generator) -> FloatImage:
    depth_m = frame.true_depth_m
    if float(np.nanmin(depth_m)) < _HAND_M:  # the sensor looks past the hand
        depth_m = render_frame(_room(), frame.pose, frame.camera, samples=1).true_depth_m
    points = depth_to_points(depth_m, frame.camera).reshape(-1, 3)
    ranges = points[rng.integers(len(points), size=_RANGES)]
    ranges[:_LIARS] *= rng.uniform(1.5, 4, (_LIARS, 1))
    return np.asarray(ranges, np.float32)


def _room(*, with_ramp: bool = False, hand_at: Pose | None = None) -> Scene:
    rng, (long, wide, high) = Rng(17), _ROOM_M
    wall = plaster(rng)
    draft = SceneDraft((0.0, 0.0, 0.0), _ROOM_M, [wall, wall, wall, wall, tiles(rng, 0.4), ceiling(rng)])
    draft.add_box_between((9.0, 0.4, 0.0), (9.6, 1.0, 0.6), crate(rng))
    draft.add_box_between((7.0, 4.0, 0.0), (8.6, 4.6, 0.75), wood(rng))
    draft.add_box_between((5.0, 0.0, 0.0), (5.4, 0.3, 2.0), planks(rng))
    draft.add_lamp((long / 3, wide / 2, high - 0.2), (0.9, 0.85, 0.8))
    draft.add_lamp((long * 0.75, wide / 2, high - 0.2), (0.9, 0.85, 0.8))
    if with_ramp:
        slope, top = math.radians(_RAMP_DEG), _RAMP_LENGTH_M * math.sin(math.radians(_RAMP_DEG))
        run = _RAMP_LENGTH_M * math.cos(slope)
        middle = (_RAMP_FROM_M + run / 2 + 0.1 * math.sin(slope), wide / 2, top / 2 - 0.1 * math.cos(slope))
        draft.add_box(middle, (_RAMP_LENGTH_M, wide - 1.0, 0.2), planks(rng), turn(pitch=slope))
        draft.add_box_between((_RAMP_FROM_M + run, 0.5, 0.0), (long, wide - 0.5, top), tiles(rng, 0.3))
    if hand_at is not None:
        centre = hand_at.position + hand_at.rotation @ np.array([0.02, 0.05, _HAND_M], np.float32)
        at = (float(centre[0]), float(centre[1]), float(centre[2]))
        draft.add_ellipsoid(at, (0.03, 0.14, 0.11), plain((0.55, 0.35, 0.27)))
    return draft.finish(17, "drive")


def _floor_at(x: float) -> float:
    """Return the height of the ground under a wheel, metres."""
    slope = math.radians(_RAMP_DEG)
    top = _RAMP_LENGTH_M * math.sin(slope)
    return float(np.clip((x - _RAMP_FROM_M) * math.tan(slope), 0.0, top))


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print how far the scale runs off on each drive, as JSON: of true depth, and of a model's."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_ros.evaluation.hard_drives", description=__doc__)
    parser.add_argument("--model", default="demo", help="an ONNX file, a name such as vit_small, or 'demo' (default)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the model; 0: all (default)")
    args = parser.parse_args(arguments)
    require_numbers(args, "threads", least=0, most=MOST_THREADS)
    estimator = Estimator(open_model(args.model, threads=args.threads))
    for name, drive in DRIVES.items():
        frames = list(drive())
        estimates = [estimator.estimate(frame.rgb, frame.camera) for frame in frames]
        for source, given in (
            ("true depth", [scaled(exact(frame), WRONG_SCALE) for frame in frames]),
            ("model", [scaled(estimate, WRONG_SCALE) for estimate in estimates]),
        ):
            print(json.dumps({"drive": name, "depth": source, **_rounded(excursions(frames, given))}), flush=True)
    return 0


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """Return an estimate with all its depth multiplied."""
    return Estimate(
        estimate.depth_m * np.float32(factor),
        estimate.confidence,
        estimate.normals,
        estimate.camera,
        estimate.inference_size_hw,
        estimate.timings_ms,
    )


def _rounded(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {source: {name: round(value, 4) for name, value in each.items()} for source, each in found.items()}


if __name__ == "__main__":
    sys.exit(main())
