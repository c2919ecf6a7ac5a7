"""What is measured of flights through nodes: of nodes that are never wrong it is nothing, of faulty ones the fault.

Here functions stand in for the nodes; `test_frame_exchange.py` sends frames through a real one.
"""

import json
import math
import sys
from types import SimpleNamespace

import message_classes
import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.evaluation import node_sequences
from metric3d_ros.evaluation.flights import HeldOutFlights, level_flight, render_frame
from metric3d_ros.evaluation.node_sequences import (
    EVERYTHING,
    GROUND,
    OBSTACLES,
    SCALE,
    TIMING,
    WRONG_SCALE,
    Answers,
    fool_model,
    main,
    measure_flight,
)
from metric3d_ros.geometry import GroundPlane, ObstacleOptions, depth_to_points, find_obstacles
from metric3d_ros.messages import points_to_cloud
from metric3d_ros.world.rendering.viewpoint import look

RIGHT, FOOLED = {"model": "right"}, {"model": "fooled"}
FAULTS = ("fooled network", "wrong focal length")
TIMES = {"correct_ms": "2.0", "infer_ms": "10.0", "total_ms": "15.0"}


@pytest.fixture(scope="module")
def frames():
    flight = next(iter(HeldOutFlights(count=1, frames=14, size_hw=(120, 160))))
    return level_flight(flight)


def true_answer(frame):
    """The messages of a node that sees the true ground and obstacles."""
    foot = dict(zip("xyz", -frame.up * frame.height_m, strict=True))
    plane = SimpleNamespace(pose=SimpleNamespace(pose=SimpleNamespace(position=SimpleNamespace(**foot))))
    ground = GroundPlane(normal=frame.up, height_m=frame.height_m, covariance=np.zeros((4, 4)), share=1.0, spread=0.0)
    points = depth_to_points(frame.true_depth_m, frame.camera)
    options = ObstacleOptions(max_range_m=5.0, tilt_tolerance_rad=0.0)
    obstacles = points[find_obstacles(points, ground, options=options)]
    cloud = points_to_cloud(obstacles, header=None, sensor_msgs=message_classes.PLAIN)
    return {TIMING: TIMES, GROUND: plane, OBSTACLES: cloud}


def right_node(frames, parameters, *, camera=lambda camera: camera, with_ranges=False):
    """Stand in for `fly`: wrong only if it was told something wrong and gets nothing to correct it by."""
    fooled = parameters["model"] != RIGHT["model"]
    factor = (WRONG_SCALE if fooled else 1.0) * camera(frames[0].camera).fx / frames[0].camera.fx
    answers = Answers(messages=[true_answer(frame) for frame in frames])
    if with_ranges or "scale.camera_height_m" in parameters:
        for each in answers.messages:
            each[SCALE] = {"factor": f"{1 / factor:.4f}"}
        factor = 1.0
    answers.depths_m = [frame.true_depth_m * np.float32(factor) for frame in frames]
    return answers


def measure(monkeypatch, frames, fly=right_node):
    monkeypatch.setattr(node_sequences, "fly", fly)
    return measure_flight(frames, RIGHT, FOOLED)


def test_nodes_that_are_right_have_no_faults(monkeypatch, frames):
    found = measure(monkeypatch, frames)
    for name in ("off", "on"):
        for figure in ("flicker", "scale step", "AbsRel"):
            assert found[f"{figure}, {name}"] < 1e-6
        assert found[f"correct ms, {name}"] == 2
        assert found[f"all but the network ms, {name}"] == 5
    assert (found["flying share"], found["good lost"]) == (0, 0)
    assert found["ground tilt median deg"] < 0.1
    assert found["ground height error median m"] < 1e-6
    assert (found["ground within 2 deg and 3 cm"], found["ground refused"]) == (1, 0)
    assert (found["obstacle recall"], found["obstacle precision"]) == (1, 1)


def test_a_scale_that_is_wrong_is_measured_with_each_source(monkeypatch, frames):
    found = measure(monkeypatch, frames)
    for fault in FAULTS:
        for name in (f"scale error after 1 s, {fault}", f"largest scale error after 1 s, {fault}"):
            assert found[f"{name}, no correction"] == pytest.approx(math.log(1.3), abs=1e-5)
            assert found[f"{name}, camera height"] < 1e-6
            assert found[f"{name}, ranges"] < 1e-6
        assert f"last factor, {fault}, no correction" not in found
        assert found[f"last factor, {fault}, ranges"] == pytest.approx(1 / 1.3, abs=1e-4)


def test_each_node_gets_what_its_figure_is_about(monkeypatch, frames):
    given = []

    def remember(frames, parameters, *, camera=lambda camera: camera, with_ranges=False):
        wrong = round(camera(frames[0].camera).fx / frames[0].camera.fx, 3)
        given.append((dict(parameters), wrong, with_ranges))
        return right_node(frames, parameters, camera=camera, with_ranges=with_ranges)

    measure(monkeypatch, frames, remember)
    height = {"scale.camera_height_m": frames[0].height_m}
    assert given == [
        (RIGHT, 1, False),
        ({**RIGHT, **EVERYTHING}, 1, False),
        (FOOLED, 1, False),
        (FOOLED | height, 1, False),
        (FOOLED, 1, True),
        (RIGHT, 1.3, False),
        (RIGHT | height, 1.3, False),
        (RIGHT, 1.3, True),
    ]


def test_what_the_corrections_remove_and_a_ground_that_is_wrong_are_measured(monkeypatch, frames):
    def faulty(frames, parameters, **options):
        answers = right_node(frames, parameters, **options)
        if "edges.remove" in parameters:
            for depth, messages in zip(answers.depths_m, answers.messages, strict=True):
                depth[:, : depth.shape[1] // 2] = np.nan
                position = messages[GROUND].pose.pose.position
                position.x, position.y, position.z = (1.1 * each for each in vars(position).values())
            del answers.messages[3][GROUND]
        return answers

    found = measure(monkeypatch, frames, faulty)
    assert found["good lost"] == pytest.approx(0.5, abs=0.02)
    assert found["ground height error median m"] == pytest.approx(0.1 * frames[0].height_m, abs=1e-5)
    assert (found["ground within 2 deg and 3 cm"], found["ground refused"]) == (0, 1)
    assert found["AbsRel, on"] < 1e-6, "of the pixels that are left"


def test_a_ground_is_asked_for_only_of_frames_that_see_it(monkeypatch, frames):
    x, y, z = map(float, frames[0].pose.position)
    (flight,) = HeldOutFlights(count=1, frames=14, size_hw=(120, 160))
    up = render_frame(flight.scene, look((x, y, z), yaw=0.0, pitch=math.radians(60)), frames[0].camera)

    def without_ground(frames, parameters, **options):
        answers = right_node(frames, parameters, **options)
        for messages in answers.messages:
            del messages[GROUND]
        return answers

    found = measure(monkeypatch, [*frames, up], without_ground)
    assert found["ground refused"] == len(frames)
    assert "obstacle recall" not in found


def test_a_fooled_model_is_wrong_by_thirty_percent(model, tmp_path):
    fooled = fool_model(model, tmp_path)
    assert fooled.parent == tmp_path
    rgb = np.random.default_rng(0).integers(20, 250, (56, 84, 3), np.uint8)
    camera = Camera(84, 56, 500.0, 500.0, 40.0, 30.0)
    right, wrong = (Estimator(open_model(path, threads=1)).estimate(rgb, camera) for path in (model, fooled))
    np.testing.assert_allclose(wrong.depth_m, right.depth_m * 1.3, rtol=1e-5)
    np.testing.assert_array_equal(wrong.normals, right.normals)


def test_without_onnx_no_model_can_be_fooled(monkeypatch, model, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigurationError, match=r"onnx is not installed.*: pip install onnx$"):
        fool_model(model, tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_program_prints_flights_and_their_means(monkeypatch, model, capsys):
    models = set()

    def remember(frames, parameters, **options):
        models.add(str(parameters["model"]))
        assert (len(frames), frames[0].camera.size_hw, parameters["threads"]) == (12, (56, 84), 1)
        known = RIGHT if parameters["model"] == str(model) else FOOLED
        return right_node(frames, {**parameters, **known}, **options)

    monkeypatch.setattr(node_sequences, "fly", remember)
    options = ["--flights", "2", "--frames", "12", "--size", "84x56", "--threads", "1"]
    assert main(["--model", str(model), *options]) == 0
    first, second, means = capsys.readouterr().out.split("\n", 2)
    flights, means = [json.loads(first), json.loads(second)], json.loads(means)
    assert flights[0]["flight"] != flights[1]["flight"]
    name = "scale error after 1 s, fooled network, no correction"
    assert [each[name] for each in (*flights, means)] == [round(math.log(1.3), 5)] * 3
    assert means["flight"] == "mean"
    assert len(models) == 2, "the model, and the one that is fooled"


def test_flights_that_do_not_fit_are_refused_with_their_number(monkeypatch):
    def no_flight(scene, **options):
        raise DataError("no clear flight")

    monkeypatch.setattr("metric3d_ros.evaluation.flights.camera_flight", no_flight)
    flights = HeldOutFlights(count=2, frames=5)
    assert len(flights) == 2
    with pytest.raises(DataError, match="only 0 of 2 flights of 5 frames fit into 40 plain scenes: ask for fewer"):
        list(flights)


def test_a_level_flight_keeps_its_height(frames):
    (flight,) = HeldOutFlights(count=1, frames=14, size_hw=(120, 160))
    assert len(flight) == len(frames) == 14
    heights = [float(pose.position[2]) for pose in flight.poses]
    assert max(heights) - min(heights) > 0.05
    for frame, pose in zip(frames, flight.poses, strict=True):
        assert frame.height_m == pytest.approx(np.median(heights), abs=1e-6)
        np.testing.assert_array_equal(frame.pose.position[:2], pose.position[:2])
        np.testing.assert_array_equal(frame.pose.rotation, pose.rotation)
