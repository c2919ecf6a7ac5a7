"""How far points of a lens are off, raw and through pinhole views, beside those of a pinhole camera.

`python -m metric3d_ros.evaluation.lens_measures` measures it on rendered rooms that no training of the demo model saw.
All cameras look from the same places and have as many pixels per degree at their centre.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.command_line import require_numbers
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.evaluation.correction_pictures import ranges_of, shoot
from metric3d_ros.evaluation.flights import Flight, HeldOutFlights
from metric3d_ros.program import program
from metric3d_ros.world.rendering.viewpoint import Pose

BARREL = Camera(336, 252, 240.0, 240.0, 167.5, 125.5, "plumb_bob", (-0.3, 0.0, 0.0, 0.0, 0.0))
FISHEYE = Camera(1280, 960, 1280 / math.pi, 1280 / math.pi, 639.5, 479.5, "equidistant", (1e-6, 0.0, 0.0, 0.0))
_AHEAD_DEG = 48.0
_EVERY = 12


def measure_view(estimator: Estimator, flight: Flight, pose: Pose) -> dict[str, float]:
    """Return the mean relative error of points by camera and way, for what one place sees; parts of 1."""
    found: dict[str, float] = {}
    image, truth = shoot(flight, pose, BARREL)
    found["k1 = -0.3, raw"] = _error(estimator.estimate(image, BARREL, rectify="off"), truth)
    found["k1 = -0.3, rectified"] = _error(estimator.estimate(image, BARREL), truth)
    pinhole = BARREL.without_distortion()
    image, truth = shoot(flight, pose, pinhole)
    found["k1 = -0.3, pinhole"] = _error(estimator.estimate(image, pinhole), truth)
    image, truth = shoot(flight, pose, FISHEYE)
    rays = FISHEYE.measured_along_rays().rays()
    ahead = rays[..., 2] > math.cos(math.radians(_AHEAD_DEG))
    for name, rectify in (("raw", "off"), ("views", "auto")):
        result = estimator.estimate(image, FISHEYE, rectify=rectify)
        found[f"fisheye, {name}"] = _error(result, truth)
        found[f"fisheye ahead, {name}"] = _error(result, np.where(ahead, truth, np.float32(np.nan)))
    side = math.ceil(2 * FISHEYE.fx * math.tan(math.radians(_AHEAD_DEG)) / 32) * 32
    pinhole = Camera.from_focal(side, side, focal_px=FISHEYE.fx)
    image, truth = shoot(flight, pose, pinhole)
    inside = _off_axis_deg(pinhole) < _AHEAD_DEG
    result = estimator.estimate(image, pinhole)
    found["fisheye ahead, pinhole"] = _error(result, np.where(inside, truth, np.float32(np.nan)))
    return found


def _error(estimate: Estimate, true_range_m: npt.NDArray[np.float32]) -> float:
    return float(np.nanmean(np.abs(ranges_of(estimate) / true_range_m - 1)))


def _off_axis_deg(camera: Camera) -> npt.NDArray[np.float32]:
    rays = camera.rays()
    return np.asarray(np.degrees(np.arccos(rays[..., 2] / np.linalg.norm(rays, axis=2))), np.float32)


def _places(flights: int) -> Iterator[tuple[Flight, Pose]]:
    for flight in HeldOutFlights(count=flights):
        for pose in flight.poses[::_EVERY]:
            yield flight, pose


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the mean of each error as JSON."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_ros.evaluation.lens_measures", description=__doc__)
    parser.add_argument("--model", default="demo", help="an ONNX file, a name such as vit_small, or 'demo' (default)")
    parser.add_argument("--flights", type=int, default=2, help="five places of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the model; 0: all (default)")
    args = parser.parse_args(arguments)
    require_numbers(args, "flights", least=1)
    require_numbers(args, "threads", least=0, most=MOST_THREADS)
    estimator = Estimator(open_model(args.model, threads=args.threads))
    views = [measure_view(estimator, flight, pose) for flight, pose in _places(args.flights)]
    print(json.dumps({name: round(float(np.mean([view[name] for view in views])), 4) for name in views[0]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
