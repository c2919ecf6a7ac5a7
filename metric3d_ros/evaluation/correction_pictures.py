"""Before and after of each correction, as pictures: `python -m metric3d_ros.evaluation.correction_pictures`."""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.comparison.flicker import flicker_between
from metric3d_ros.comparison.flying_pixels import label_flying_pixels
from metric3d_ros.comparison.labelled_images import Sample
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimate, Estimator
from metric3d_ros.evaluation.flights import Flight, FlightFrame, HeldOutFlights, render_frame
from metric3d_ros.files.excerpts import some
from metric3d_ros.geometry import (
    GroundPlane,
    cell_normals_from_depth,
    depth_edges,
    depth_to_points,
    find_far,
    find_flying_pixels,
    find_ground,
    find_obstacles,
)
from metric3d_ros.pictures import DepthColours, Panel, compose_panels, depth_to_rgb, normals_to_rgb
from metric3d_ros.program import program
from metric3d_ros.recordings.images import write_rgb
from metric3d_ros.scale import (
    MotionEstimator,
    ScaleStabiliser,
    ScaleTracker,
    TemporalFilter,
    scale_from_camera_height,
    scale_from_ranges,
)
from metric3d_ros.world.rendering.renderer import render
from metric3d_ros.world.rendering.viewpoint import Pose

Rgb = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]
Estimating = Callable[..., Estimate]

_HEIGHT = 240
_RED, _GREEN, _GREY = (226, 74, 60), (80, 190, 110), (150, 155, 165)
_WORST = 0.4
"""Relative error from which on an error picture is at its end."""
_BARREL = Camera(336, 252, 240.0, 240.0, 167.5, 125.5, "plumb_bob", (-0.3, 0.0, 0.0, 0.0, 0.0))
_FISHEYE = Camera(640, 480, 640 / math.pi, 640 / math.pi, 319.5, 239.5, "equidistant", (1e-6, 0.0, 0.0, 0.0))
_FOOLED = 1.3


def draw_lenses(estimate: Estimating) -> Rgb:
    """Return a distorted and a fisheye camera, with depth of the raw image and of its pinhole views."""
    flight = next(iter(HeldOutFlights(count=1, frames=12)))
    rows = []
    for name, camera in (("k1 = -0.3", _BARREL), ("fisheye, 180 degrees", _FISHEYE)):
        image, truth = shoot(flight, flight.poses[4], camera)
        before = estimate(image, camera, rectify="off")
        after = estimate(image, camera)
        panels = [Panel(title=name, picture=image)]
        for title, each in (("raw to the network", before), ("pinhole views", after)):
            error = ranges_of(each) / truth
            panels.append(Panel(title=f"{title}: off by {_mean_error(error):.0%}", picture=_error_picture(error)))
        rows.append(panels)
    caption = "mean relative error of range; white is right, red is 40 % too far, blue too near"
    return compose_panels(rows, height=_HEIGHT, caption=caption)


def draw_scale(estimate: Estimating) -> Rgb:
    """Return the error of scale over time of a network that is fooled by 30 %, and of what corrects it."""
    rng = np.random.default_rng(0)
    trackers = {"camera height": ScaleTracker(), "20 ranges, 2 of them wrong": ScaleTracker()}
    series: dict[str, list[float]] = {"not corrected": [], **{name: [] for name in trackers}}
    for index, (frame, result) in enumerate(_frames(estimate, frames=30)):
        depth = result.depth_m * np.float32(_FOOLED)
        error = float(np.nanmedian(np.log(depth / frame.true_depth_m)))
        series["not corrected"].append(error)
        points = depth_to_points(frame.true_depth_m, frame.camera).reshape(-1, 3)
        ranges = points[rng.integers(len(points), size=20)]
        ranges[:2] *= rng.uniform(1.5, 4, (2, 1))
        measured = {
            "camera height": scale_from_camera_height(
                find_ground(depth, frame.camera, normals=result.normals), height_m=frame.height_m
            ),
            "20 ranges, 2 of them wrong": scale_from_ranges(depth, frame.camera, ranges),
        }
        for name, tracker in trackers.items():
            series[name].append(error + math.log(tracker.update(measured[name], index / 10).factor))
    return compose_panels([[Panel(title="error of scale (%) over 3 s", picture=_draw_series(series))]], height=_HEIGHT)


def draw_stability(estimate: Estimating) -> Rgb:
    """Return what a static point's depth changes by from frame to frame, of the network, steadied and averaged."""
    motions, stabiliser, temporal = MotionEstimator(), ScaleStabiliser(), TemporalFilter()
    series: dict[str, list[float]] = {"network": [], "stability.scale": [], "stability.scale, .temporal": []}
    before: dict[str, tuple[Sample, FloatImage]] = {}
    for frame, result in _frames(estimate, frames=60):
        motion = motions.update(result.depth_m, frame.rgb, frame.camera)
        factor = stabiliser.update(motion)
        steady = result.depth_m * np.float32(factor)
        depths = result.depth_m, steady, temporal.update(steady, motion, factor=factor)
        sample = frame.to_sample()
        for name, depth in zip(series, depths, strict=True):
            if name in before:
                series[name].append(flicker_between(*before[name], sample, depth))
            before[name] = sample, depth
    picture = _draw_series(series, span=(-0.005, 0.05))
    return compose_panels([[Panel(title="flicker (%) over 6 s", picture=picture)]], height=_HEIGHT)


def draw_edges(estimate: Estimating) -> Rgb:
    """Return the depth of a room, with and without flying pixels, which are red; what is removed is black."""
    frame, result = _frame(estimate, 3, flight=0)
    scale = np.float32(np.nanmedian(frame.true_depth_m / result.depth_m))
    flying = label_flying_pixels(result.depth_m * scale, frame.true_depth_m)
    removed = find_flying_pixels(result.depth_m, frame.camera, normals=result.normals)
    jumps = depth_edges(result.depth_m)
    nothing = np.zeros_like(flying)
    nearness = np.clip(255 * 1.2 / result.depth_m, 0, 255).astype(np.uint8)
    panels = [Panel(title="image", picture=frame.rgb)]
    for title, mask in (("before", nothing), ("depth.max_jump: 0.1", jumps), ("edges.remove", removed)):
        picture = np.repeat(nearness[..., None], 3, axis=2)
        picture[flying] = _RED
        picture[mask] = 0
        panels.append(Panel(title=f"{title}: {np.mean(flying & ~mask):.1%} fly", picture=picture))
    caption = "red: pixels farther than 5 % from every true surface around them; black: removed"
    return compose_panels([panels], height=_HEIGHT, caption=caption)


def draw_sky(estimate: Estimating) -> Rgb:
    """Return a street whose sky is a wall, and the same with sky taken for far."""
    flight = next(iter(HeldOutFlights(count=1, frames=12, world="street")))
    frame = render_frame(flight.scene, flight.poses[2], flight.camera, noise_seed=2)
    result = estimate(frame.rgb, frame.camera)
    far = find_far(result.depth_m, confidence=result.confidence)
    panels = [Panel(title="image", picture=frame.rgb)]
    colours = DepthColours(near_m=2.0, far_m=60.0)
    without = np.where(far, np.float32(np.nan), result.depth_m)
    for title, depth in (("before", result.depth_m), ("sky.remove", without)):
        points = float(np.mean(frame.sky & np.isfinite(depth)) / max(float(np.mean(frame.sky)), 1e-6))
        picture = depth_to_rgb(depth, colours)
        panels.append(Panel(title=f"{title}: {points:.0%} of the sky are points", picture=picture, bar=colours))
    return compose_panels([panels], height=_HEIGHT)


def draw_ground(estimate: Estimating) -> Rgb:
    """Return a room whose obstacles are red and whose ground is green, estimated and true."""
    frame, result = _frame(estimate, 8)
    ground = find_ground(result.depth_m, frame.camera, normals=result.normals)
    assert isinstance(ground, GroundPlane), "the flight sees the floor"
    true_ground = GroundPlane(
        normal=frame.up, height_m=frame.height_m, covariance=np.zeros((4, 4)), share=1.0, spread=0.0
    )
    panels = [Panel(title="image", picture=frame.rgb)]
    for title, depth, plane in (
        (f"found: {ground.height_m:.2f} m below the camera", result.depth_m, ground),
        (f"true: {frame.height_m:.2f} m", frame.true_depth_m, true_ground),
    ):
        points = depth_to_points(depth, frame.camera)
        obstacles = find_obstacles(points, plane)
        floor = np.abs(plane.heights(points)) < 0.1
        painted = frame.rgb.astype(np.float32)
        for mask, colour in ((obstacles, _RED), (floor & ~obstacles, _GREEN)):
            painted[mask] = 0.45 * painted[mask] + 0.55 * np.asarray(colour, np.float32)
        panels.append(Panel(title=title, picture=painted.astype(np.uint8)))
    return compose_panels([panels], height=_HEIGHT, caption="red: points/obstacles; green: within 10 cm of the ground")


def draw_normals(estimate: Estimating) -> Rgb:
    """Return normals of the network and of its depth beside the true ones."""
    frame, result = _frame(estimate, 8)
    panels = [Panel(title="image", picture=frame.rgb)]
    candidates = {
        "network": result.normals,
        "depth": cell_normals_from_depth(result.depth_m, frame.camera),
        "true": frame.true_normals,
    }
    for title, normals in candidates.items():
        if normals is not None:
            cosine = np.clip(np.sum(normals * frame.true_normals, axis=2), -1, 1)
            degrees = float(np.degrees(np.nanmean(np.arccos(cosine))))
            off = "" if title == "true" else f", {degrees:.0f} deg off"
            panels.append(Panel(title=title + off, picture=normals_to_rgb(normals)))
    return compose_panels([panels], height=_HEIGHT, caption="normals.source, and the mean angle to the true normals")


PICTURES: dict[str, Callable[[Estimating], Rgb]] = {
    "lenses": draw_lenses,
    "scale": draw_scale,
    "stability": draw_stability,
    "edges": draw_edges,
    "sky": draw_sky,
    "ground": draw_ground,
    "normals": draw_normals,
}


def _frames(estimate: Estimating, *, frames: int) -> Iterator[tuple[FlightFrame, Estimate]]:
    for frame in next(iter(HeldOutFlights(count=1, frames=60))):
        if frames == 0:
            return
        frames -= 1
        yield frame, estimate(frame.rgb, frame.camera)


def _frame(estimate: Estimating, index: int, *, flight: int = 2) -> tuple[FlightFrame, Estimate]:
    flown = list(HeldOutFlights(count=3, frames=12))[flight]
    frame = render_frame(flown.scene, flown.poses[index], flown.camera, noise_seed=index)
    return frame, estimate(frame.rgb, frame.camera)


def shoot(flight: Flight, pose: Pose, camera: Camera) -> tuple[Rgb, FloatImage]:
    """Return the image of a camera, and the true range along each pixel's ray, NaN beyond 89 degrees off the axis."""
    rays = camera.measured_along_rays().rays()
    z = rays[..., 2:]
    ahead = np.where(z > 0.02, rays / np.where(z > 0.02, z, np.float32(1)), np.float32(np.nan))
    view = render(flight.scene, pose, ahead.astype(np.float32), noise_seed=4)
    depth = np.where(view.valid, view.depth_m, np.float32(np.nan))
    return view.rgb, np.asarray(depth * np.linalg.norm(ahead, axis=2), np.float32)


def ranges_of(estimate: Estimate) -> FloatImage:
    points = depth_to_points(estimate.depth_m, estimate.camera)
    return np.asarray(np.linalg.norm(points, axis=2), np.float32)


def _mean_error(ratio: FloatImage) -> float:
    return float(np.nanmean(np.abs(ratio - 1)))


def _error_picture(ratio: FloatImage) -> Rgb:
    """Return ratios (H, W) to the truth as colours: white is 1, red above, blue below, dark unknown."""
    share = np.clip(np.log(np.nan_to_num(ratio, nan=1.0)) / math.log(1 + _WORST), -1, 1)[..., None]
    white, end = (
        np.float32(245),
        np.where(share > 0, np.array([200, 40, 30], np.float32), np.array([40, 80, 200], np.float32)),
    )
    picture = white + np.abs(share) * (end - white)
    picture[np.isnan(ratio)] = 40
    return np.asarray(picture, np.uint8)


def _draw_series(series: Mapping[str, Sequence[float]], *, span: tuple[float, float] = (-0.1, 0.1)) -> Rgb:
    """Return lines of log ratios over frames, in percent, with their names; the axis shows `span` at least."""
    height, width, left, top = 480, 1100, 70, 20
    picture = np.full((height, width, 3), 22, np.uint8)
    values = np.concatenate([np.asarray(each) for each in series.values()])
    margin = (span[1] - span[0]) / 10
    low, high = min(span[0], float(values.min()) - margin), max(span[1], float(values.max()) + margin)

    def row(value: float) -> int:
        return round(top + (high - value) / (high - low) * (height - 2 * top))

    step = 0.01 if high - low < 0.1 else 0.05 if high - low < 0.5 else 0.1
    for tick in np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step:
        shade = 110 if abs(tick) < 1e-9 else 55
        cv2.line(picture, (left, row(tick)), (width - 10, row(tick)), (shade,) * 3, 1, cv2.LINE_AA)
        cv2.putText(
            picture, f"{100 * tick:+.0f}", (8, row(tick) + 7), cv2.FONT_HERSHEY_SIMPLEX, 0.6, _GREY, 1, cv2.LINE_AA
        )
    for place, (colour, (name, each)) in enumerate(zip((_GREY, _GREEN, (90, 150, 240)), series.items(), strict=False)):
        columns = np.linspace(left, width - 10, len(each))
        line = np.array([[column, row(value)] for column, value in zip(columns, each, strict=True)], np.int32)
        cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA)
        corner = (left + 20 + 340 * place, height - 12)
        cv2.putText(picture, name, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.65, colour, 1, cv2.LINE_AA)
    return picture


@program("error")
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pictures that are asked for into a folder."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_ros.evaluation.correction_pictures", description=__doc__)
    parser.add_argument("folder", type=Path, help="such as docs/images")
    parser.add_argument("--only", default=",".join(PICTURES), help="some of %(default)s")
    parser.add_argument("--model", default="demo", help="an ONNX file, a name such as vit_small, or 'demo' (default)")
    args = parser.parse_args(arguments)
    names = args.only.split(",")
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        raise ConfigurationError(f"--only has {some(unknown)}, expected some of {', '.join(PICTURES)}")
    estimator = Estimator(open_model(args.model))
    for name in names:
        path = args.folder / f"{name}.png"
        write_rgb(path, PICTURES[name](estimator.estimate))
        print(path, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
