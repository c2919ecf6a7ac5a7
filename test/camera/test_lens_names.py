"""Which names and coefficients of a lens are taken for which model, and which are refused."""

import math

import cv2
import numpy as np
import pytest

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError

FIVE = (-0.3, 0.1, 0.001, -0.002, 0.03)
EIGHT = (0.1, -0.2, 0.001, -0.001, 0.02, 0.3, -0.1, 0.05)
FISHEYE = (-0.02, 0.004, -0.003, 0.0005)


def lens(name, coefficients):
    camera = Camera(640, 480, 500.0, 500.0, 320.0, 240.0, name, tuple(coefficients))
    return camera.distortion_model, camera.distortion


@pytest.mark.parametrize(
    ("name", "given", "model", "taken"),
    [
        ("plumb_bob", FIVE, "plumb_bob", FIVE),
        ("plumb_bob", (*FIVE, 0, 0, 0), "plumb_bob", FIVE),
        ("plumb_bob", FIVE[:4], "plumb_bob", FIVE[:4]),
        ("plumb_bob", (*FIVE[:4], 0), "plumb_bob", (*FIVE[:4], 0)),
        ("plumb_bob", (*FIVE, *[0] * 9), "plumb_bob", FIVE),
        ("plumb_bob", EIGHT, "rational_polynomial", EIGHT),
        ("plumb_bob", (*FIVE, 0.01), "rational_polynomial", (*FIVE, 0.01, 0, 0)),
        ("rational_polynomial", FIVE, "plumb_bob", FIVE),
        ("rational_polynomial", (*EIGHT, 0, 0, 0, 0), "rational_polynomial", (*EIGHT, 0, 0, 0, 0)),
        ("rational_polynomial", (*EIGHT, 0.01), "rational_polynomial", (*EIGHT, 0.01, 0, 0, 0)),
        ("rational_polynomial", (*EIGHT, *[0.0] * 20), "rational_polynomial", EIGHT),
        ("equidistant", FISHEYE, "equidistant", FISHEYE),
        ("equidistant", (*FISHEYE, 0), "equidistant", FISHEYE),
        ("equidistant", (*FISHEYE, *[0] * 10), "equidistant", FISHEYE),
        ("equidistant", (0.1, 0, 0, 0, 0), "equidistant", (0.1, 0, 0, 0)),
    ],
)
def test_what_means_the_same_is_taken(name, given, model, taken):
    assert lens(name, given) == (model, taken)


@pytest.mark.parametrize(
    "name",
    ["radtan", "RadTan", "rational", "brown_conrady", "Brown-Conrady", "radial-tangential", "perspective", "Plumb Bob"],
)
def test_aliases_of_the_polynomial_model_are_taken(name):
    assert lens(name, FIVE) == ("plumb_bob", FIVE)


@pytest.mark.parametrize(
    "name", ["fisheye", "kannala_brandt", "Kannala-Brandt", "KannalaBrandt8", "EQUIDISTANT", "equi"]
)
def test_aliases_of_the_equidistant_model_are_taken(name):
    assert lens(name, FISHEYE) == ("equidistant", FISHEYE)


@pytest.mark.parametrize("name", ["", "none", "plumb_bob", "radtan", "whatever a simulator calls it"])
def test_without_a_coefficient_there_is_no_lens_whatever_its_name(name):
    assert lens(name, (0.0,) * 5) == ("", ())
    assert lens(name, ()) == ("", ())


@pytest.mark.parametrize("name", ["equidistant", "fisheye", "Kannala-Brandt", "kb4"])
@pytest.mark.parametrize("given", [(), (0.0,) * 4, (0.0,) * 5])
def test_an_equidistant_lens_without_coefficients_is_no_pinhole(name, given):
    assert lens(name, given) == ("equidistant", (0.0,) * 4)


def test_an_equidistant_lens_without_coefficients_puts_pixels_at_f_theta():
    camera = Camera(640, 480, 200.0, 200.0, 320.0, 240.0, "equidistant", (0.0,) * 4)
    # 200 pixels off the axis: 1 radian. A pinhole would have 45 degrees there.
    np.testing.assert_allclose(camera.rays()[240, 520], [math.tan(1), 0, 1], rtol=1e-6)
    np.testing.assert_allclose(camera.project([math.tan(1), 0, 1]), [520, 240], atol=1e-6)
    theirs = cv2.fisheye.undistortPoints(np.array([[[520.0, 240.0]]]), camera.matrix, np.zeros(4))
    np.testing.assert_allclose(camera.rays()[240, 520, :2], theirs[0, 0], atol=1e-5)


@pytest.mark.parametrize("name", ["thin_prism_fisheye", "equisolid", "Stereographic", "f-theta", "equirectangular"])
def test_other_projections_that_are_no_pinhole_are_refused_without_coefficients_too(name):
    with pytest.raises(CameraError, match="not known"):
        lens(name, (0.0,) * 4)


def test_more_coefficients_than_a_fisheye_has_are_a_polynomial_without_a_name_too():
    assert lens("", FIVE) == ("plumb_bob", FIVE)
    assert lens("", EIGHT) == ("rational_polynomial", EIGHT)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("", FISHEYE, "no name but 4 coefficients"),
        ("plumb_bob", FIVE[:3], "plumb_bob distortion has 3 coefficients, expected 4 to 14"),
        ("plumb_bob", (*EIGHT, *EIGHT), "16 coefficients, expected 4 to 14"),
        ("equidistant", FIVE, "equidistant distortion has 5 coefficients, expected 4"),
        ("equidistant", (*FIVE, 0), "6 coefficients, of which the first 5 are not all 0"),
        ("equidistant", FISHEYE[:2], "2 coefficients, expected 4"),
        ("none", FIVE, "means none, but D is not 0"),
        ("thin_prism_fisheye", FIVE, "'thin_prism_fisheye' is not known, expected one of plumb_bob"),
        ("inverse_brown_conrady", FIVE, "not known"),
        ("modified_brown_conrady", FIVE, "differs from plumb_bob where p1 or p2 is not 0"),
        ("fov", (0.9, 0, 0, 0), "rectify the images first"),
        ("plumb_bob", (1e300, 0, 0, 0), "no lens has"),
        ("rational_polynomial", (*EIGHT, 0, 0, 0, 0, 1.7, 0), "the sensor's tilt in D is 1.7, 0 radians"),
    ],
)
def test_what_could_mean_several_things_is_refused_in_one_line(name, given, words):
    with pytest.raises(CameraError, match=words) as caught:
        lens(name, given)
    assert "\n" not in str(caught.value)


def test_a_modified_model_is_taken_where_it_is_the_same():
    assert lens("modified_brown_conrady", (0.1, 0.2, 0, 0, 0.1)) == ("plumb_bob", (0.1, 0.2, 0, 0, 0.1))
