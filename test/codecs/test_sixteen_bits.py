"""16-bit samples to 8 bits: which range becomes black to white, and how slowly it follows."""

import numpy as np
import pytest

from metric3d_ros.codecs.sixteen_bits import (
    FULL_RANGE,
    SampleRange,
    SteadySampleRange,
    fit_sample_range,
    parse_sample_range,
    to_8_bit,
)
from metric3d_ros.errors import ConfigurationError

S = 1_000_000_000


def ramp(low, high, shape=(60, 80)):
    return np.linspace(low, high, int(np.prod(shape))).astype(np.uint16).reshape(shape)


def test_the_full_range_is_scaled_by_257():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(to_8_bit(every), np.rint(every / 257))
    np.testing.assert_array_equal(to_8_bit(every.astype(">u2")), np.rint(every / 257))


def test_samples_outside_of_a_range_become_its_ends():
    samples = np.array([[0, 7499, 7500, 7702, 7900, 7901, 65535]], np.uint16)
    assert to_8_bit(samples, SampleRange(7500, 7900)).tolist() == [[0, 0, 0, 129, 255, 255, 255]]


@pytest.mark.parametrize(("low", "high"), [(7500, 7900), (0, 1023), (0, 4095), (0, 16383), (30000, 31000)])
def test_a_range_that_is_hardly_used_reaches_the_network_in_all_levels(low, high):
    image = ramp(low, high)
    fitted = fit_sample_range(image)
    assert (fitted.low, fitted.high) == (
        pytest.approx(low, abs=(high - low) / 80),
        pytest.approx(high, abs=(high - low) / 80),
    )
    assert len(np.unique(to_8_bit(image, fitted))) > 245
    assert len(np.unique(to_8_bit(image))) <= 65


@pytest.mark.parametrize(("low", "high"), [(0, 65535), (0, 40000), (20000, 60000)])
def test_an_image_that_uses_much_of_the_range_is_left_as_it_is(low, high):
    assert fit_sample_range(ramp(low, high)) == FULL_RANGE


def test_there_is_no_jump_between_stretched_and_left_as_it_is():
    ends = [fit_sample_range(ramp(4000, high)) for high in range(15000, 45000, 200)]
    steps = np.abs(np.diff([(each.low, each.high) for each in ends], axis=0))
    assert steps.max() < 1500
    assert ends[-1] == FULL_RANGE


@pytest.mark.parametrize("level", [0, 3, 7700, 65535])
def test_noise_is_not_stretched_beyond_one_level_a_count(level):
    fitted = fit_sample_range(np.full((60, 80), level, np.uint16))
    assert fitted.high - fitted.low == 255
    assert fitted.low >= 0
    assert fitted.high <= 65535
    assert fitted.low <= level <= fitted.high


def test_a_few_hot_or_dead_pixels_change_nothing():
    image = ramp(7500, 7900)
    broken = image.copy()
    broken[0, :5], broken[1, :5] = 0, 65535
    whole, fitted = fit_sample_range(image), fit_sample_range(broken)
    assert (fitted.low, fitted.high) == (pytest.approx(whole.low, abs=4), pytest.approx(whole.high, abs=4))


def test_every_colour_of_a_mosaic_is_looked_at():
    mosaic = np.full((1000, 1200), 1000, np.uint16)
    mosaic[::2, ::2] = 9000
    fitted = fit_sample_range(mosaic)
    assert (fitted.low, fitted.high) == (1000, 9000)


def test_images_of_one_scene_are_followed_slowly():
    ranges = SteadySampleRange(time_constant_s=2.0)
    assert ranges.used is None
    ranges.converter("auto", stamp_ns=10 * S)(ramp(7500, 7900))
    first = ranges.used
    ranges.converter("auto", stamp_ns=12 * S)(ramp(7600, 8000))
    # After one time constant 63 % of the change are followed.
    assert ranges.used.low - first.low == pytest.approx(100 * 0.632, abs=1)
    assert ranges.used.high - first.high == pytest.approx(100 * 0.632, abs=1)


@pytest.mark.parametrize(
    ("image", "stamp_ns", "of"),
    [
        (ramp(9000, 9400), 10 * S + 1000, "a"),
        (ramp(7500, 9900), 10 * S + 1000, "a"),
        (ramp(7600, 8000), 10 * S, "a"),
        (ramp(7600, 8000), 9 * S, "a"),
        (ramp(7600, 8000), 10 * S + 1000, "b"),
        (ramp(7600, 8000, (40, 50)), 10 * S + 1000, "a"),
    ],
    ids=["elsewhere", "much wider", "stamps stand still", "stamps go back", "another camera", "another size"],
)
def test_another_scene_starts_anew(image, stamp_ns, of):
    ranges = SteadySampleRange()
    ranges.converter("auto", stamp_ns=10 * S, of="a")(ramp(7500, 7900))
    ranges.converter("auto", stamp_ns=stamp_ns, of=of)(image)
    assert ranges.used == fit_sample_range(image)


def test_a_shutter_that_closes_for_a_moment_changes_little():
    ranges = SteadySampleRange()
    for i in range(30):
        ranges.converter("auto", stamp_ns=i * S // 30)(ramp(7500, 7900))
    before = ranges.used
    ranges.converter("auto", stamp_ns=S)(np.full((60, 80), 7700, np.uint16))
    assert abs(ranges.used.low - before.low) < 10


def test_settings_are_a_range_or_a_word():
    assert parse_sample_range("auto") is None
    assert parse_sample_range("full") == FULL_RANGE
    assert parse_sample_range("7500-7900") == SampleRange(7500, 7900)
    for text in ("", "Auto", "7900-7500", "5-5", "0-65536", "-1-5", "0..5", "12"):
        with pytest.raises(ConfigurationError, match="expected auto, full, or MIN-MAX"):
            parse_sample_range(text)
