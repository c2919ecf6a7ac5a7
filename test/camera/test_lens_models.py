"""Every lens model, realistic or absurd: a ray projects back to its pixel and lies on the branch from the axis."""

import math

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from lens_oracle import check_rays, distort

from metric3d_ros.camera import Camera
from metric3d_ros.camera.lenses.equidistant import EquidistantLens
from metric3d_ros.camera.lenses.polynomial import PolynomialLens
from metric3d_ros.camera.lenses.roots import first_root

MANY = settings(max_examples=300, deadline=None, derandomize=True)

# How large each coefficient is in real calibrations, in OpenCV's order.
POLYNOMIAL_SIZES = (0.4, 0.3, 0.003, 0.003, 0.1, 0.5, 0.3, 0.1, 0.005, 0.005, 0.005, 0.005, 0.03, 0.03)
EQUIDISTANT_SIZES = (0.1, 0.4, 0.6, 0.2)


@st.composite
def lenses(draw, *, most=100.0):
    """Coefficients around those of real lenses, and up to `most` times as large."""
    model = draw(st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant"]))
    sizes = {"plumb_bob": POLYNOMIAL_SIZES[:5], "equidistant": EQUIDISTANT_SIZES}.get(model)
    sizes = sizes or POLYNOMIAL_SIZES[: draw(st.sampled_from([8, 12, 14]))]
    exaggeration = draw(st.sampled_from([0.1, 1.0, 3.0, 10.0, 100.0]).filter(lambda times: times <= most))
    return model, tuple(size * exaggeration * draw(st.floats(-1, 1)) for size in sizes)


@st.composite
def cameras(draw):
    width, height = draw(st.integers(3, 90)), draw(st.integers(3, 70))
    fx = width * draw(st.floats(0.1, 4))
    fy = fx * draw(st.floats(0.8, 1.25))
    cx, cy = width * draw(st.floats(-0.2, 1.2)), height * draw(st.floats(-0.2, 1.2))
    model, coefficients = draw(lenses())
    # No sensor is turned by more than a right angle.
    coefficients = (*coefficients[:12], *(math.remainder(tilt, 2.8) for tilt in coefficients[12:]))
    return Camera(width, height, fx, fy, cx, cy, model, coefficients)


@MANY
@given(cameras(), st.integers(0, 2**32 - 1))
def test_a_ray_projects_back_to_its_pixel_and_lies_on_the_branch_from_the_axis(camera, seed):
    share = check_rays(camera, rng=np.random.default_rng(seed))
    event("every ray" if share == 1 else "most rays" if share > 0.5 else "few rays")


@MANY
@given(lenses(most=3.0), st.integers(0, 2**32 - 1))
def test_what_the_lens_model_shows_within_its_branch_is_found_again(lens, seed):
    """No ray is missing: from places all over the branch, but for its last percents, to the image and back."""
    model, coefficients = lens
    made = EquidistantLens(coefficients) if model == "equidistant" else PolynomialLens(coefficients)
    rng = np.random.default_rng(seed)
    farthest = min(0.95 * np.tan(np.radians(made.widest_deg)), 3.0)
    radius, angle = farthest * np.sqrt(rng.uniform(0, 1, 300)), rng.uniform(0, 2 * np.pi, 300)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    image_x, image_y = made.distort(x, y)
    shown = np.isfinite(image_x)
    found_x, found_y = made.undistort(image_x[shown], image_y[shown])
    same = np.hypot(found_x - x[shown], found_y - y[shown]) < 1e-4 * (1 + radius[shown])
    assert shown.mean() > 0.3
    assert same.mean() > 0.98


def test_fisheye_with_several_roots_takes_the_one_next_to_the_axis():
    """A published calibration, for which an inversion that accepts any root is up to 24 degrees off."""
    camera = Camera(640, 480, 193.4, 194.6, 320.0, 238.0, "equidistant", (0.108, -0.865, 1.285, -0.413))
    assert check_rays(camera, rng=np.random.default_rng(0), most_pixels=20_000) > 0.99
    # By hand: at 1 radian off the axis theta_d = 1 + 0.108 - 0.865 + 1.285 - 0.413 = 1.115, times 193.4 px.
    ray = camera.rays()[238, 320 + round(1.115 * 193.4)]
    assert np.arctan(ray[0]) == pytest.approx(1.0, abs=0.003)


def test_rays_a_million_pixels_off_the_axis_reproject_or_are_none():
    """There single precision alone misses by more than a tenth of a pixel."""
    distortion = (-0.03282562644356505, 0.06378161000952624, 0.00019265432920792237, -0.0001668301479851505)
    for width, height, fx, cx in ((30, 2, 90.85885392701995, 1e6), (40, 30, 90.0, 5e5), (40, 30, 300.0, -9e5)):
        camera = Camera(width, height, fx, fx, cx, 12.589041366118337, "plumb_bob", distortion)
        check_rays(camera, rng=np.random.default_rng(0), most_pixels=2_000)


def test_rays_end_where_a_fisheye_turns_around():
    """theta_d = theta - theta^3 is greatest at theta = 1 / sqrt(3), 33.08 degrees, where it is 0.3849."""
    camera = Camera(201, 5, 100.0, 100.0, 100.0, 2.0, "equidistant", (-1.0, 0.0, 0.0, 0.0))
    seen = np.isfinite(camera.rays()[2, :, 0])
    assert seen[100 - 38 : 100 + 39].all()
    assert not seen[: 100 - 38].any()
    assert not seen[100 + 39 :].any()
    assert np.degrees(np.arctan(camera.rays()[2, 138, 0])) < 33.08


def test_rays_end_where_a_polynomial_turns_around_even_if_it_comes_back():
    """r (1 - r^2 + 0.25 r^4) turns at the least root of 1 - 3 s + 1.25 s^2, s = 0.4, and rises again from s = 2."""
    lens = PolynomialLens((-1.0, 0.25, 0.0, 0.0))
    assert np.tan(np.radians(lens.widest_deg)) == pytest.approx(np.sqrt(0.4))
    camera = Camera(301, 5, 100.0, 100.0, 150.0, 2.0, "plumb_bob", (-1.0, 0.25, 0.0, 0.0))
    x = camera.rays()[2, :, 0]
    assert np.nanmax(np.abs(x)) <= np.sqrt(0.4) + 1e-6
    # At the turn r is 0.6325 and its image 0.6325 (1 - 0.4 + 0.04) = 0.4048.
    assert np.isfinite(x[150 - 40 : 150 + 41]).all()
    assert np.isnan(x[: 150 - 40]).all()


def test_a_point_beyond_the_turn_has_no_pixel():
    camera = Camera(301, 5, 100.0, 100.0, 150.0, 2.0, "plumb_bob", (-1.0, 0.25, 0.0, 0.0))
    pixels = camera.project([[0.6, 0.0, 1.0], [0.7, 0.0, 1.0], [2.5, 0.0, 1.0]])
    assert np.isfinite(pixels[0]).all()
    assert np.isnan(pixels[1:]).all()


def test_a_pole_of_the_rational_model_ends_the_branch():
    lens = PolynomialLens((0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0))  # r / (1 - r^2)
    assert np.tan(np.radians(lens.widest_deg)) == pytest.approx(1.0)
    assert np.isnan(lens.distort(np.array([1.1]), np.array([0.0]))[0][0])


@pytest.mark.parametrize("size_wh", [(640, 480), (641, 479), (1, 1), (5, 200)])
def test_rays_do_not_depend_on_the_way_they_are_computed(size_wh):
    """Interpolated between knots or solved one by one, at sizes that are no multiple of the knots' distance."""
    width, height = size_wh
    camera = Camera(
        width, height, 300.0, 310.0, 0.45 * width, 0.55 * height, "plumb_bob", (-0.3, 0.1, 1e-3, -2e-3, 0.0)
    )
    rays = camera.rays()
    v, u = np.mgrid[0:height, 0:width]
    solved = PolynomialLens(camera.distortion).undistort(
        ((u - camera.cx) / camera.fx).ravel(), ((v - camera.cy) / camera.fy).ravel()
    )
    np.testing.assert_allclose(rays[..., 0].ravel(), solved[0], atol=3e-6)
    np.testing.assert_allclose(rays[..., 1].ravel(), solved[1], atol=3e-6)


def test_share_without_ray_is_about_that_of_all_pixels():
    camera = Camera(640, 480, 300.0, 300.0, 300.0, 250.0, "plumb_bob", (-0.6, 0.0, 0.0, 0.0))
    share = np.isnan(camera.rays()[..., 0]).mean()
    assert 0.1 < share < 0.9
    assert camera.share_without_ray() == pytest.approx(share, abs=0.02)
    assert camera.without_distortion().share_without_ray() == 0


@pytest.mark.parametrize(
    ("coefficients", "root"),
    [
        ([1.0], np.inf),
        ([0.0, 0.0], np.inf),
        ([-0.5, 1.0], 0.5),
        ([1.0, -3.0, 2.0], 0.5),  # (1 - x)(1 - 2 x)
        ([1.0, 0.0, 1.0], np.inf),
        ([-6e-9, 1.1e-3 + 6e-6, -1.0 - 1.1e-3, 1.0], 5.5e-6),
        ([1.0, -11.0], 1 / 11),
    ],
)
def test_first_root_is_the_least_change_of_sign(coefficients, root):
    found = first_root(coefficients, 2.0)
    if root == 5.5e-6:
        assert np.polyval(coefficients[::-1], found * 0.999) * np.polyval(coefficients[::-1], found * 1.001) < 0
        assert 0 < found < 1e-5
    else:
        assert found == pytest.approx(root)


def test_the_oracle_itself_agrees_with_opencv():
    """What the tests above judge by is right."""
    import cv2

    rng = np.random.default_rng(3)
    x, y = rng.uniform(-0.5, 0.5, (2, 50))
    coefficients = tuple(rng.normal(0, 1, 14) * POLYNOMIAL_SIZES)
    camera = Camera(9, 9, 1.0, 1.0, 0.0, 0.0, "rational_polynomial", coefficients)
    points = np.stack([x, y, np.ones_like(x)], axis=-1)[:, None]
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), np.array(coefficients))[0][:, 0].T
    np.testing.assert_allclose(distort(camera, x, y), expected, atol=1e-12)
