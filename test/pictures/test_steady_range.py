"""The range of depth colours follows a camera smoothly and starts anew where the scene does."""

import math

import numpy as np
import pytest

from metric3d_ros.pictures import DepthColours, SteadyRange
from metric3d_ros.pictures.colours import DEFAULT_RANGE_M

PERIOD_NS = 100_000_000


def wall(near_m, far_m, *, width=80):
    return np.broadcast_to(np.geomspace(near_m, far_m, width, dtype=np.float32), (60, width)).copy()


def fitted(depth_m):
    colours = DepthColours.fitting(depth_m)
    return colours.near_m, colours.far_m


def test_first_image_has_the_range_that_fits_it():
    assert SteadyRange().follow(wall(1, 5), stamp_ns=0) == pytest.approx(fitted(wall(1, 5)))


def test_change_is_followed_by_its_ratio_as_the_time_constant_says():
    steady = SteadyRange(time_constant_s=0.5)
    near_m, far_m = steady.follow(wall(1, 4), stamp_ns=0)
    # 16 % farther everywhere, half a second later: 1 - 1/e of the ratio.
    moved = steady.follow(wall(1, 4) * np.float32(1.16), stamp_ns=500_000_000)
    part = 1.16 ** (1 - math.exp(-1))
    assert moved == pytest.approx((near_m * part, far_m * part), rel=1e-5)


@pytest.mark.parametrize("rate_hz", [5, 30])
def test_speed_depends_on_stamps_not_on_how_many_images_come(rate_hz):
    steady = SteadyRange(time_constant_s=0.5)
    near_m, _ = steady.follow(wall(1, 4), stamp_ns=0)
    for number in range(1, rate_hz + 1):
        now_m, _ = steady.follow(wall(1.5, 6), stamp_ns=round(number * 1e9 / rate_hz))
    assert now_m / near_m == pytest.approx(1.5 ** (1 - math.exp(-2)), rel=1e-4)


def test_noise_flickers_a_fraction_of_what_it_did():
    rng, steady = np.random.default_rng(0), SteadyRange()
    plain, calm = [], []
    for number in range(200):
        depth_m = wall(1, 4) * np.float32(rng.uniform(0.9, 1.1))
        plain.append(math.log(fitted(depth_m)[1]))
        calm.append(math.log(steady.follow(depth_m, stamp_ns=number * PERIOD_NS // 3)[1]))
    assert np.abs(np.diff(calm)).mean() < 0.1 * np.abs(np.diff(plain)).mean()
    assert np.mean(calm[50:]) == pytest.approx(np.mean(plain), abs=0.02), "and is not off for it"


CUTS = {
    "an end at more than the double": {"depth_m": wall(1, 9)},
    "an end at less than half": {"depth_m": wall(0.4, 4)},
    "another size": {"depth_m": wall(1.2, 4.8, width=81)},
    "another camera": {"depth_m": wall(1.2, 4.8), "of": "other"},
    "stamps that go back": {"depth_m": wall(1.2, 4.8), "stamp_ns": -1},
    "a long pause": {"depth_m": wall(1.2, 4.8), "stamp_ns": 60_000_000_000},
}


@pytest.mark.parametrize("what", CUTS)
def test_range_starts_anew_with(what):
    steady = SteadyRange()
    steady.follow(wall(1, 4), stamp_ns=0, of="camera")
    arguments = {"stamp_ns": PERIOD_NS, "of": "camera"} | CUTS[what]
    assert steady.follow(**arguments) == pytest.approx(fitted(arguments["depth_m"]), rel=1e-5)


def test_image_without_depth_changes_nothing():
    steady, blank = SteadyRange(), np.full((60, 80), np.nan, np.float32)
    assert steady.follow(blank, stamp_ns=0) == DEFAULT_RANGE_M
    before = steady.follow(wall(1, 4), stamp_ns=PERIOD_NS)
    assert steady.follow(blank, stamp_ns=2 * PERIOD_NS) == pytest.approx(before)
    assert steady.follow(blank, stamp_ns=3 * PERIOD_NS, of="other") == DEFAULT_RANGE_M


def test_flat_scene_keeps_a_range_that_can_be_painted():
    steady = SteadyRange()
    for number in range(5):
        near_m, far_m = steady.follow(np.full((4, 4), 2 + 0.1 * number, np.float32), stamp_ns=number * PERIOD_NS)
        assert far_m >= near_m * 1.0999
        DepthColours(near_m=near_m, far_m=far_m, scale="log")


def test_images_whose_stamps_stand_still_have_a_range_of_their_own():
    steady = SteadyRange()
    for number in range(3):
        depth_m = wall(1 + 0.2 * number, 4 + number)
        assert steady.follow(depth_m, stamp_ns=0) == pytest.approx(fitted(depth_m))
