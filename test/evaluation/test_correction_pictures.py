"""Pictures of the corrections: of an exact network they show no error, of a wrong one the error."""

import math
import re
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest
from exact_network import ExactNetwork

from metric3d_ros.evaluation import correction_pictures
from metric3d_ros.evaluation.correction_pictures import PICTURES, main
from metric3d_ros.evaluation.flights import HeldOutFlights
from metric3d_ros.pictures import INVALID_RGB

SIZE_HW = (84, 112)
WHITE, RED, BLUE, UNKNOWN = (245, 245, 245), (200, 40, 30), (40, 80, 200), (40, 40, 40)
RED_PAINT, GREEN_PAINT = (226, 74, 60), (80, 190, 110)


@pytest.fixture(autouse=True)
def small_flights(monkeypatch):
    monkeypatch.setattr(correction_pictures, "HeldOutFlights", partial(HeldOutFlights, size_hw=SIZE_HW))


@pytest.fixture
def smaller_flights(monkeypatch, small_flights):
    monkeypatch.setattr(correction_pictures, "HeldOutFlights", partial(HeldOutFlights, size_hw=(60, 80)))


@pytest.fixture
def network(monkeypatch):
    network = ExactNetwork()
    network.remember_renderings(monkeypatch, correction_pictures)
    return network


@pytest.fixture
def panels(monkeypatch):
    """The panels of the picture that is drawn, in order."""
    found, compose = [], correction_pictures.compose_panels

    def remember(rows, **options):
        found.extend(panel for row in rows for panel in row)
        return compose(rows, **options)

    monkeypatch.setattr(correction_pictures, "compose_panels", remember)
    return found


@pytest.fixture
def series(monkeypatch):
    """The curves of the picture that is drawn, by name."""
    found, draw = {}, correction_pictures._draw_series

    def remember(curves, **options):
        found.update(curves)
        return draw(curves, **options)

    monkeypatch.setattr(correction_pictures, "_draw_series", remember)
    return found


def colours_of(picture):
    return {tuple(map(int, colour)) for colour in np.unique(picture.reshape(-1, 3), axis=0)}


def titles_of(panels):
    return [panel.title for panel in panels]


@pytest.mark.parametrize(
    ("factor", "off_by", "colour"), [(1.0, "0%", WHITE), (1.4, "40%", RED), (1 / 1.4, "29%", BLUE)]
)
def test_the_error_of_lenses_is_named_and_coloured(monkeypatch, network, panels, factor, off_by, colour):
    small = replace(correction_pictures._FISHEYE, width=160, height=120, fx=50.93, fy=50.93, cx=79.5, cy=59.5)
    monkeypatch.setattr(correction_pictures, "_FISHEYE", small)
    network.factor = factor
    picture = PICTURES["lenses"](network.estimate)
    errors = [f"raw to the network: off by {off_by}", f"pinhole views: off by {off_by}"]
    assert titles_of(panels) == ["k1 = -0.3", *errors, "fisheye, 180 degrees", *errors]
    assert picture.shape[0] > 2 * 240, "two rows"
    for panel in (panels[1], panels[2]):
        assert panel.picture.shape == (252, 336, 3)
        np.testing.assert_allclose(panel.picture[126, 168], colour, atol=1)
    fisheye = panels[4].picture
    assert tuple(fisheye[0, 0]) == UNKNOWN, "the corner of a circular fisheye sees nothing"
    np.testing.assert_allclose(fisheye[60, 80], colour, atol=1)


def test_a_wrong_scale_is_drawn_as_it_is_and_corrected(smaller_flights, network, panels, series):
    PICTURES["scale"](network.estimate)
    assert titles_of(panels) == ["error of scale (%) over 3 s"]
    assert [len(curve) for curve in series.values()] == [30, 30, 30]
    np.testing.assert_allclose(series.pop("not corrected"), math.log(1.3), atol=1e-5)
    assert set(series) == {"camera height", "20 ranges, 2 of them wrong"}
    for curve in series.values():
        assert abs(curve[-1]) < 0.03


def test_depth_of_an_exact_network_does_not_flicker(smaller_flights, network, panels, series):
    PICTURES["stability"](network.estimate)
    assert titles_of(panels) == ["flicker (%) over 6 s"]
    assert [len(curve) for curve in series.values()] == [59, 59, 59], "each frame but the first"
    assert max(series["network"]) < 1e-6
    assert max(series["stability.scale"]) < 0.005
    assert np.median(series["stability.scale, .temporal"]) < 0.005


def test_curves_are_lines_of_their_values():
    picture = correction_pictures._draw_series({"high": [0.05, 0.05], "low": [-0.05, -0.05, -0.05]})
    grey, green = (
        np.flatnonzero((picture[:400, 600] == colour).all(axis=1)) for colour in ((150, 155, 165), (80, 190, 110))
    )
    # The axis from 0.1 at row 20 to -0.1 at row 460.
    assert np.mean(grey) == pytest.approx(20 + 440 / 4, abs=1)
    assert np.mean(green) == pytest.approx(20 + 440 * 3 / 4, abs=1)


def test_no_pixel_of_an_exact_network_flies(network, panels):
    PICTURES["edges"](network.estimate)
    assert titles_of(panels) == [
        "image",
        "before: 0.0% fly",
        "depth.max_jump: 0.1: 0.0% fly",
        "edges.remove: 0.0% fly",
    ]
    before, jumps = panels[1].picture, panels[2].picture
    assert RED_PAINT not in colours_of(before)
    removed = (jumps == 0).all(axis=2) & (before != 0).any(axis=2)
    assert 0 < removed.mean() < 0.3


def test_flying_pixels_are_red_until_they_are_removed(network, panels):
    def smeared(rgb, camera):
        result = network.estimate(rgb, camera)
        result.depth_m[:] = cv2.GaussianBlur(result.depth_m, (0, 0), 1.5)
        return result

    PICTURES["edges"](smeared)
    before, _, after = (float(re.search(r"([\d.]+)% fly", panel.title)[1]) for panel in panels[1:])
    assert before > 1
    assert after < before / 2
    red = [(panel.picture == RED_PAINT).all(axis=2).mean() for panel in panels[1:]]
    assert red[0] == pytest.approx(before / 100, abs=5e-4)
    assert red[2] == pytest.approx(after / 100, abs=5e-4)


def test_a_sky_that_is_a_wall_is_taken_out(network, panels):
    def walled(rgb, camera):
        result = network.estimate(rgb, camera)
        result.depth_m[np.isnan(result.depth_m)] = 150
        return result

    PICTURES["sky"](walled)
    assert titles_of(panels)[:2] == ["image", "before: 100% of the sky are points"]
    assert titles_of(panels)[2] == "sky.remove: 0% of the sky are points"
    assert INVALID_RGB not in colours_of(panels[1].picture)
    assert INVALID_RGB in colours_of(panels[2].picture)


def test_the_ground_of_an_exact_network_is_the_true_one(network, panels):
    PICTURES["ground"](network.estimate)
    assert titles_of(panels)[0] == "image"
    found, true = (float(re.search(r"([\d.]+) m", panel.title)[1]) for panel in panels[1:])
    assert found == pytest.approx(true, abs=0.02)
    estimated, expected = (panel.picture.astype(int) for panel in panels[1:])
    assert (np.abs(estimated - expected).max(axis=2) > 0).mean() < 0.03
    paint = (expected - 0.45 * panels[0].picture) / 0.55
    red, green = (np.abs(paint - colour).max(axis=2) < 3 for colour in (RED_PAINT, GREEN_PAINT))
    assert green.mean() > 0.1, "the flight sees the floor"
    assert red.mean() > 0.01, "things stand on it"
    unpainted = (expected == panels[0].picture).all(axis=2)
    np.testing.assert_array_equal(red | green, ~unpainted)


def test_normals_of_an_exact_network_are_not_off(network, panels):
    picture = PICTURES["normals"](network.estimate)
    image, of_network, of_depth, true = panels
    assert (image.title, of_network.title, true.title) == ("image", "network, 0 deg off", "true")
    assert re.fullmatch(r"depth, \d deg off", of_depth.title)
    np.testing.assert_array_equal(of_network.picture, true.picture)
    assert picture.shape[1] > 4 * 240 * 112 / 84


def test_the_program_writes_the_pictures_that_are_asked_for(model, tmp_path, capsys, panels):
    assert main([str(tmp_path / "new"), "--only", "normals,edges", "--model", str(model)]) == 0
    paths = [tmp_path / "new/normals.png", tmp_path / "new/edges.png"]
    assert capsys.readouterr().out.splitlines() == [str(path) for path in paths]
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)
    for path in paths:
        height, width, _ = cv2.imread(str(path)).shape
        assert height > 240
        assert width > 4 * 240 * 112 / 84, "four panels beside each other"
    assert len(panels) == 8


def test_a_model_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "new"), "--model", str(tmp_path / "none.onnx")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "none.onnx" in line
    assert not (tmp_path / "new").exists()


def test_an_unknown_picture_is_refused_before_any_is_drawn(tmp_path, capsys):
    assert main([str(tmp_path), "--only", "ground,rubbish"]) == 1
    assert "--only has rubbish, expected some of lenses, scale" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
