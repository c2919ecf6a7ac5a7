"""What is measured of lenses: of an exact network nothing is off, and the program prints the mean of each way."""

import json
import math

import pytest
from exact_network import ExactNetwork

from metric3d_ros.camera import Camera
from metric3d_ros.evaluation import lens_measures
from metric3d_ros.evaluation.flights import HeldOutFlights
from metric3d_ros.evaluation.lens_measures import main, measure_view

FIGURES = [
    "k1 = -0.3, raw",
    "k1 = -0.3, rectified",
    "k1 = -0.3, pinhole",
    "fisheye, raw",
    "fisheye ahead, raw",
    "fisheye, views",
    "fisheye ahead, views",
    "fisheye ahead, pinhole",
]


@pytest.fixture(autouse=True)
def small_cameras(monkeypatch):
    barrel = Camera(84, 63, 60.0, 60.0, 41.5, 31.0, "plumb_bob", (-0.3, 0.0, 0.0, 0.0, 0.0))
    focal = 160 / math.pi
    fisheye = Camera(160, 120, focal, focal, 79.5, 59.5, "equidistant", (1e-6, 0.0, 0.0, 0.0))
    monkeypatch.setattr(lens_measures, "BARREL", barrel)
    monkeypatch.setattr(lens_measures, "FISHEYE", fisheye)


@pytest.mark.parametrize(("factor", "error"), [(1.0, 0.0), (1.25, 0.25)])
def test_points_are_off_by_what_the_network_is_off(monkeypatch, factor, error):
    network = ExactNetwork(factor)
    network.remember_renderings(monkeypatch, lens_measures)
    flight = next(iter(HeldOutFlights(count=1, frames=12)))
    found = measure_view(network, flight, flight.poses[3])
    assert list(found) == FIGURES
    assert list(found.values()) == pytest.approx([error] * len(FIGURES), abs=1e-5)


def test_the_program_prints_the_mean_of_the_places(monkeypatch, model, capsys):
    views, measure = [], lens_measures.measure_view

    def remember(*given):
        views.append(measure(*given))
        return views[-1]

    monkeypatch.setattr(lens_measures, "measure_view", remember)
    assert main(["--model", str(model), "--flights", "1", "--threads", "1"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(views) == 5, "every twelfth of 60 frames"
    assert list(printed) == FIGURES
    for name, value in printed.items():
        assert value == pytest.approx(sum(view[name] for view in views) / 5, abs=1e-4)
        assert value > 0.1, "a network that takes grey for depth is wrong"
