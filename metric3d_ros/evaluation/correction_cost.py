"""What the corrections cost: milliseconds of one core for a frame, each alone and all together.

`python -m metric3d_ros.evaluation.correction_cost` measures the processor's time, on which other programs have little
influence.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from metric3d_ros.command_line import parse_size
from metric3d_ros.corrections import CorrectionOptions, DepthCorrector, ScaleSource
from metric3d_ros.estimation.inference_size import MIN_SIDE_PX
from metric3d_ros.evaluation.flights import HeldOutFlights
from metric3d_ros.evaluation.sequence_measures import uneven
from metric3d_ros.geometry import (
    FarOptions,
    FlyingPixelOptions,
    GroundPlane,
    depth_to_points,
    find_ground,
    find_obstacles,
)
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.program import program

_FRAMES, _ROUNDS, _WARM_UP = 12, 4, 2
_HEIGHT, _RANGES = ScaleSource(camera_height_m=1.0), ScaleSource(ranges=True)
_EDGES, _SKY = FlyingPixelOptions(), FarOptions()

CASES: Mapping[str, CorrectionOptions] = {
    "everything off": CorrectionOptions(),
    "edges.remove": CorrectionOptions(flying=_EDGES),
    "sky.remove": CorrectionOptions(far=_SKY),
    "stability.scale": CorrectionOptions(steady_scale=True),
    "stability.temporal": CorrectionOptions(average=True),
    "scale.camera_height_m": CorrectionOptions(scale=_HEIGHT),
    "scale.topic": CorrectionOptions(scale=_RANGES),
    "all, by camera height": CorrectionOptions(flying=_EDGES, far=_SKY, steady_scale=True, average=True, scale=_HEIGHT),
    "all, by ranges": CorrectionOptions(flying=_EDGES, far=_SKY, steady_scale=True, average=True, scale=_RANGES),
}


@program("error")
@needing_memory("measuring flights", remedy="choose a smaller --size")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each correction."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_ros.evaluation.correction_cost", description=__doc__)
    parser.add_argument("--size", default="640x480", metavar="WxH", help="image size (default: %(default)s)")
    args = parser.parse_args(arguments)
    width, height = parse_size(args.size, option="--size WIDTHxHEIGHT", least=MIN_SIDE_PX)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    flight = next(iter(HeldOutFlights(count=1, size_hw=(height, width))))
    frames = list(itertools.islice(flight, _FRAMES))
    estimates = [uneven(frame, rng) for frame in frames]
    points = [depth_to_points(frame.true_depth_m, frame.camera).reshape(-1, 3) for frame in frames]
    for name, options in CASES.items():
        times_ms = []
        for _ in range(_ROUNDS):
            corrector = DepthCorrector()
            for index, (frame, estimate) in enumerate(zip(frames, estimates, strict=True)):
                ranges = points[index][rng.integers(len(points[index]), size=20)] if options.scale.ranges else None
                started_s = time.process_time()
                corrector.apply(estimate, frame.rgb, index / 10, options=options, ranges=ranges)
                if index >= _WARM_UP:
                    times_ms.append((time.process_time() - started_s) * 1e3)
        _print(name, times_ms)
    times_ms = []
    for estimate in estimates * _ROUNDS:
        started_s = time.process_time()
        ground = find_ground(estimate.depth_m, estimate.camera, normals=estimate.normals)
        if isinstance(ground, GroundPlane):
            find_obstacles(depth_to_points(estimate.depth_m, estimate.camera), ground)
        times_ms.append((time.process_time() - started_s) * 1e3)
    _print("ground/plane and points/obstacles", times_ms)
    return 0


def _print(name: str, times_ms: Sequence[float]) -> None:
    print(f"{name:<36}{np.median(times_ms):6.2f} ms", flush=True)


if __name__ == "__main__":
    sys.exit(main())
