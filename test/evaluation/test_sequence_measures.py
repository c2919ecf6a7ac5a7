"""What is measured on a sequence: of an exact network it is nothing, of a faulty one it is the fault."""

import dataclasses
import json
import math

import cv2
import numpy as np
import pytest

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.estimator import Estimate
from metric3d_ros.evaluation.flights import HeldOutFlights, render_frame
from metric3d_ros.evaluation.sequence_measures import exact, main, measure_sequence, print_with_means
from metric3d_ros.world.rendering.viewpoint import look


@pytest.fixture(scope="module")
def frames():
    flight = next(iter(HeldOutFlights(count=1, frames=14, size_hw=(120, 160))))
    return list(flight)


def test_frames_of_a_flight_have_consistent_truth(frames):
    for frame in frames:
        heights = frame.true_heights_m()
        assert np.nanmin(heights) > -0.01
        floor = np.abs(heights) < 0.01
        assert floor.mean() > 0.05
        assert np.median(frame.true_normals[floor] @ frame.up.astype(np.float32)) > 0.99


def test_an_exact_network_has_no_faults(frames):
    estimates = iter([exact(frame) for frame in frames])
    figures = measure_sequence(frames, lambda rgb, camera: next(estimates)).figures()
    assert figures["flicker raw"] < 1e-6
    assert figures["AbsRel raw"] < 1e-6
    assert figures["flying share"] == 0
    assert figures["good lost flying-pixel filter"] < 0.05
    assert figures["ground within 2 deg and 3 cm"] == 1
    assert figures["obstacle recall"] > 0.97
    assert figures["obstacle precision"] > 0.99
    assert figures["scale error after 1 s, raw"] == pytest.approx(math.log(1.3), abs=1e-4)
    assert figures["largest scale error after 1 s, camera height"] < 0.03
    assert figures["largest scale error after 1 s, ranges"] < 0.03
    assert figures["normals mean deg, true depth"] < 3


def test_breathing_is_measured_and_flying_pixels_are_measured_and_removed(frames):
    rng = np.random.default_rng(0)

    def faulty(frame):
        depth = cv2.GaussianBlur(frame.true_depth_m, (0, 0), 1.5) * np.float32(math.exp(rng.normal(0, 0.02)))
        return dataclasses.replace(exact(frame), depth_m=depth)

    estimates = iter([faulty(frame) for frame in frames])
    figures = measure_sequence(frames, lambda rgb, camera: next(estimates)).figures()
    assert figures["scale step raw"] > 0.01
    assert figures["flying removed flying-pixel filter"] > 0.7
    assert figures["good lost flying-pixel filter"] < 0.05


def test_flights_that_cannot_be_are_refused():
    with pytest.raises(ConfigurationError, match="the world is 'moon'"):
        HeldOutFlights(count=1, world="moon")
    with pytest.raises(ConfigurationError, match="at least 1"):
        HeldOutFlights(count=0)


def test_figures_are_printed_by_flight_and_then_their_means(capsys):
    print_with_means("flight", iter([("first", {"x": 1.0}), ("second", {"x": 2.0, "y": 0.1234567})]))
    first, second, means = capsys.readouterr().out.split("\n", 2)
    assert json.loads(first) == {"flight": "first", "x": 1.0}
    assert json.loads(second) == {"flight": "second", "x": 2.0, "y": 0.12346}
    assert json.loads(means) == {"flight": "mean", "x": 1.5, "y": 0.12346}


def test_a_ground_that_is_not_found_is_counted_and_without_floor_none_is_asked_for(frames):
    (flight,) = HeldOutFlights(count=1, frames=14, size_hw=(120, 160))
    x, y, z = map(float, flight.poses[0].position)
    up = render_frame(flight.scene, look((x, y, z), yaw=0.0, pitch=math.radians(60)), flight.camera)
    shown = [frames[0], up]

    def wall(rgb, camera):
        return Estimate(np.full(camera.size_hw, 2, np.float32), None, None, camera, camera.size_hw, {})

    measures = measure_sequence(shown, wall)
    assert measures.grounds_refused == 1
    assert "ground refused" not in measures.figures(), "there is no ground to compare"


@pytest.mark.parametrize(
    ("depth", "least", "most"), [("true", 0, 1e-6), ("uneven", 0.015, 0.035), ("model", 0.1, math.inf)]
)
def test_the_program_measures_the_depth_that_is_asked_for(model, capsys, depth, least, most):
    options = ["--depth", depth, "--model", str(model), "--threads", "1"]
    assert main([*options, "--flights", "1", "--frames", "2"]) == 0
    flight, means = capsys.readouterr().out.split("\n", 1)
    flight, means = json.loads(flight), json.loads(means)
    assert flight["sequence"].startswith("flight ")
    assert list(means) == list(flight)
    assert means["AbsRel raw"] == flight["AbsRel raw"], "of one flight"
    assert least <= flight["AbsRel raw"] <= most
