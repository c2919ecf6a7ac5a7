"""The corrections of depth through depth_node, over DDS, on held-out flights: `python -m
metric3d_ros.evaluation.node_sequences`.

Each flight goes through a node with all corrections off, one with all of them on, and several whose scale is wrong by
30 %: because the network is fooled (all its depth is too large), or because the focal length of camera_info is wrong.
They know nothing, or the camera's height, or they get 20 ranges, of which two lie.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.command_line import parse_size, require_numbers
from metric3d_ros.comparison.flicker import ABS_REL, FLICKER, SCALE_STEP, SteadinessMeter
from metric3d_ros.comparison.flying_pixels import FilterCounts, count_filtered, label_flying_pixels
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.inference_size import MIN_SIDE_PX
from metric3d_ros.evaluation.flights import FlightFrame, HeldOutFlights, level_flight
from metric3d_ros.evaluation.sequence_measures import print_with_means
from metric3d_ros.files.atomic import scratch_folder
from metric3d_ros.geometry import GroundPlane, ObstacleOptions, depth_to_points, find_obstacles
from metric3d_ros.messages import cloud_to_points, image_to_array
from metric3d_ros.model_contract import DEPTH as DEPTH_TENSOR
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.program import program
from metric3d_ros.world.rendering.viewpoint import MOST_FRAMES

Values = Mapping[str, Any]
FloatImage = npt.NDArray[np.float32]

RATE_HZ = 10.0
WRONG_SCALE = 1.3
TIMING, SCALE = "depth_node/timing", "depth_node/scale"
DEPTH, GROUND, OBSTACLES, NORMALS = "depth/image", "ground/plane", "points/obstacles", "normals/image"
EVERYTHING: Values = {
    "edges.remove": True,
    "sky.remove": True,
    "stability.scale": True,
    "stability.temporal": True,
    "obstacles.stride": 1,
    "obstacles.max_range_m": 5.0,
}
_RANGES, _LIARS = 20, 2
_LEAST_FLOOR = 0.1
_TRUE_OBSTACLES = ObstacleOptions(max_range_m=5.0, tilt_tolerance_rad=0.0)


@dataclass
class Answers:
    """What a node made of the frames of a flight."""

    depths_m: list[FloatImage] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def times_ms(self, stage: str) -> list[float]:
        """Return the node's milliseconds of a stage, frame by frame; 0 for frames without it."""
        return [float(each[TIMING].get(f"{stage}_ms", 0.0)) for each in self.messages]


def fly(
    frames: Sequence[FlightFrame],
    parameters: Values,
    *,
    camera: Callable[[Camera], Camera] = lambda camera: camera,
    with_ranges: bool = False,
) -> Answers:
    """Send the frames of a flight through a depth_node of its own; `camera` makes what camera_info tells of theirs."""
    from metric3d_ros.nodes.instruments.frame_exchange import FrameExchange  # needs ROS, which the rest does not

    answers, rng = Answers(), np.random.default_rng(0)
    topics = (DEPTH, GROUND, OBSTACLES, NORMALS, "points")
    with FrameExchange(parameters=parameters, topics=topics, ranges=with_ranges) as node:
        for index, frame in enumerate(frames):
            ranges = _draw_ranges(frame, rng) if with_ranges else None
            found = node.exchange(frame.rgb, camera(frame.camera), index / RATE_HZ, ranges=ranges)
            answers.messages.append(found)
            answers.depths_m.append(image_to_array(found[DEPTH]).array)
    return answers


def fool_model(path: Path, folder: Path) -> Path:
    """Write a model file into `folder` that gives `WRONG_SCALE` times the depth of the one at `path`; return it.

    Raises ConfigurationError if onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ConfigurationError(
            "onnx is not installed, which writes the model that is wrong: pip install onnx"
        ) from error
    model = onnx.load(str(path))
    for node in model.graph.node:
        for index, name in enumerate(node.output):
            if name == DEPTH_TENSOR:
                node.output[index] = "right_depth"
    factor = onnx.helper.make_tensor("wrong_scale", onnx.TensorProto.FLOAT, [], [WRONG_SCALE])
    model.graph.initializer.append(factor)
    model.graph.node.append(onnx.helper.make_node("Mul", ["right_depth", "wrong_scale"], [DEPTH_TENSOR]))
    fooled = folder / f"fooled_{path.name}"
    onnx.save(model, str(fooled))
    return fooled


def measure_flight(frames: Sequence[FlightFrame], model: Values, fooled_model: Values) -> dict[str, float]:
    """Return every figure of a flight by name; percentages are parts of 1, scale errors log ratios.

    `model` and `fooled_model` are parameters of the node, the latter with a model whose depth is 30 % too large.
    """
    off, on = fly(frames, model), fly(frames, {**model, **EVERYTHING})
    found = {**_steadiness("off", frames, off), **_steadiness("on", frames, on)}
    found |= _edges(frames, off, on) | _ground(frames, on)
    for name, answers in (("off", off), ("on", on)):
        found[f"correct ms, {name}"] = float(np.median(answers.times_ms("correct")))
        beside = np.subtract(answers.times_ms("total"), answers.times_ms("infer"))
        found[f"all but the network ms, {name}"] = float(np.median(beside))
    sources: dict[str, tuple[Values, bool]] = {
        "no correction": ({}, False),
        "camera height": ({"scale.camera_height_m": frames[0].height_m}, False),
        "ranges": ({}, True),
    }
    faults: dict[str, tuple[Values, Callable[[Camera], Camera]]] = {
        "fooled network": (fooled_model, lambda camera: camera),
        "wrong focal length": (model, _wrong),
    }
    for (fault, (fooled, camera)), (source, (parameters, with_ranges)) in itertools.product(
        faults.items(), sources.items()
    ):
        name = f"{fault}, {source}"
        wrong = fly(frames, {**fooled, **parameters}, camera=camera, with_ranges=with_ranges)
        errors = np.asarray([_scale_error(frame, depth) for frame, depth in zip(frames, wrong.depths_m, strict=True)])
        late = np.abs(errors[round(RATE_HZ) :])
        found[f"scale error after 1 s, {name}"] = float(np.median(late))
        found[f"largest scale error after 1 s, {name}"] = float(late.max())
        if SCALE in wrong.messages[-1]:
            found[f"last factor, {name}"] = float(wrong.messages[-1][SCALE]["factor"])
    return found


def _wrong(camera: Camera) -> Camera:
    return replace(camera, fx=camera.fx * WRONG_SCALE, fy=camera.fy * WRONG_SCALE)


def _draw_ranges(frame: FlightFrame, rng: np.random.Generator) -> FloatImage:
    """Return 20 points as a range sensor in the camera's place gives them by the true lens, of which two are wrong."""
    points = depth_to_points(frame.true_depth_m, frame.camera).reshape(-1, 3)
    ranges = points[rng.integers(len(points), size=_RANGES)]
    ranges[:_LIARS] *= rng.uniform(1.5, 4, (_LIARS, 1))
    return np.asarray(ranges, np.float32)


def _scale_error(frame: FlightFrame, depth_m: FloatImage) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nanmedian(np.log(depth_m / frame.true_depth_m)))


def _steadiness(name: str, frames: Sequence[FlightFrame], answers: Answers) -> dict[str, float]:
    meter = SteadinessMeter()
    for frame, depth in zip(frames, answers.depths_m, strict=True):
        meter.add(frame.to_sample(), depth)
    figures = meter.figures()
    return {
        f"flicker, {name}": figures[FLICKER],
        f"scale step, {name}": figures[SCALE_STEP],
        f"AbsRel, {name}": figures[ABS_REL],
    }


def _edges(frames: Sequence[FlightFrame], off: Answers, on: Answers) -> dict[str, float]:
    counts = FilterCounts()
    for frame, raw, filtered in zip(frames, off.depths_m, on.depths_m, strict=True):
        scale = np.float32(np.nanmedian(frame.true_depth_m / raw))
        flying = label_flying_pixels(raw * scale, frame.true_depth_m)
        counts += count_filtered(flying, np.isnan(filtered), frame.true_depth_m)
    return {"flying share": counts.flying_share, "flying removed": counts.recall, "good lost": counts.loss}


def _ground(frames: Sequence[FlightFrame], answers: Answers) -> dict[str, float]:
    tilts_deg, heights_m, missing, pixels = [], [], 0, np.zeros(3, np.int64)
    for frame, messages in zip(frames, answers.messages, strict=True):
        if np.mean(np.abs(frame.true_heights_m()) < 0.02) < _LEAST_FLOOR:
            continue
        if GROUND not in messages:
            missing += 1
            continue
        position = messages[GROUND].pose.pose.position
        foot = np.array([position.x, position.y, position.z])
        height_m = float(np.linalg.norm(foot))
        tilts_deg.append(math.degrees(math.acos(min(1.0, float(-foot / height_m @ frame.up)))))
        heights_m.append(height_m - frame.height_m)
        pixels += _compare_obstacles(frame, messages[OBSTACLES])
    if not tilts_deg:
        return {"ground refused": float(missing)}
    tilts, heights = np.asarray(tilts_deg), np.abs(heights_m)
    hits, false, missed = (int(count) for count in pixels)
    return {
        "ground tilt median deg": float(np.median(tilts)),
        "ground height error median m": float(np.median(heights)),
        "ground within 2 deg and 3 cm": float(np.mean((tilts < 2) & (heights < 0.03))),
        "ground refused": float(missing),
        "obstacle recall": hits / max(hits + missed, 1),
        "obstacle precision": hits / max(hits + false, 1),
    }


def _compare_obstacles(frame: FlightFrame, message: Any) -> npt.NDArray[np.int64]:
    """Return how many pixels are obstacles rightly, wrongly, and not though they should be."""
    flat = np.zeros((4, 4))
    true_ground = GroundPlane(normal=frame.up, height_m=frame.height_m, covariance=flat, share=1.0, spread=0.0)
    truth = find_obstacles(depth_to_points(frame.true_depth_m, frame.camera), true_ground, options=_TRUE_OBSTACLES)
    found = np.zeros_like(truth)
    u, v = np.rint(frame.camera.project(cloud_to_points(message).points.reshape(-1, 3))).astype(int).T
    found[v, u] = True
    return np.array([(truth & found).sum(), (found & ~truth).sum(), (truth & ~found).sum()], np.int64)


@program("error")
@needing_memory("measuring flights", remedy="choose a smaller --size")
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure held-out flights and print every figure as JSON, one line for each flight and one with their means."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_ros.evaluation.node_sequences", description=__doc__)
    parser.add_argument("--model", default="demo", help="an ONNX file, a name such as vit_small, or 'demo' (default)")
    parser.add_argument("--flights", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=60, help="of each flight (default: %(default)s)")
    parser.add_argument("--size", default="336x252", metavar="WxH", help="image size (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of the model; 0: all (default)")
    args = parser.parse_args(arguments)
    require_numbers(args, "flights", least=1)
    require_numbers(args, "frames", least=round(RATE_HZ) + 1, most=MOST_FRAMES)  # the first second is left out
    require_numbers(args, "threads", least=0, most=MOST_THREADS)
    width, height = parse_size(args.size, option="--size WIDTHxHEIGHT", least=MIN_SIDE_PX)
    flights = HeldOutFlights(count=args.flights, frames=args.frames, size_hw=(height, width))
    with scratch_folder("metric3d_sequences") as folder:
        wrong_model = fool_model(open_model(args.model, threads=1).path, folder)
        model, fooled = ({"model": each, "threads": args.threads} for each in (args.model, wrong_model))
        print_with_means(
            "flight", ((flight.name, measure_flight(level_flight(flight), model, fooled)) for flight in flights)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
