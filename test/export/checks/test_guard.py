"""The guard measures what it says, and names what is off."""

import numpy as np
import pytest

from metric3d_export.checks.guard import describe_departures, measure_departures, require_faithful
from metric3d_ros.comparison.precision_limits import FLOAT16_LIMITS, INT8_LIMITS
from metric3d_ros.errors import ExportError

DEPTH = np.linspace(1, 5, 10_000, dtype=np.float32).reshape(1, 100, 100)
NORMAL = np.zeros((1, 100, 100, 3), np.float32)
NORMAL[..., 2] = -1


def figures(found, expected=None) -> dict[str, float]:
    expected = {"depth": DEPTH} if expected is None else expected
    departures = measure_departures("room", found, expected, FLOAT16_LIMITS.rooms)
    return {f"{d.output} {d.name(figure)}": value for d in departures for figure, value in d.figures.items()}


def test_depth_is_compared_relatively_and_its_scale_by_the_medians():
    found = DEPTH.copy()
    found[0, :2] *= 1.5  # the nearest 2 % of the pixels: they move no median
    measured = figures({"depth": found * np.float32(1.001)})
    assert measured["depth median"] == pytest.approx(1e-3, rel=1e-3)
    assert measured["depth 99 %"] == pytest.approx(0.5015, rel=1e-3)
    assert measured["depth scale drift"] == pytest.approx(1e-3, rel=1e-2)


def test_normals_are_compared_by_their_mean_angle():
    found = NORMAL.copy()
    found[0, :50, :, 1] = np.sin(np.radians(0.8))
    found[0, :50, :, 2] = -np.cos(np.radians(0.8))
    assert figures({"normal": found}, {"normal": NORMAL})["normal mean angle"] == pytest.approx(0.4, rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_a_single_impossible_depth_is_beyond_every_limit(bad):
    found = DEPTH.copy()
    found[0, 3, 4] = bad
    departures = measure_departures("room", {"depth": found}, {"depth": DEPTH}, INT8_LIMITS.rooms)
    with pytest.raises(ExportError, match=r"precision int8 deviates.*depth values.*room.*--allow-degraded"):
        require_faithful(departures, precision="int8")


def test_patterns_are_held_to_every_figure_by_looser_limits():
    for limits in (FLOAT16_LIMITS, INT8_LIMITS):
        assert limits.rooms != limits.patterns
        for output, of_rooms in limits.rooms.items():
            of_patterns = limits.patterns[output]
            assert of_rooms.measure is of_patterns.measure
            assert of_rooms.most.keys() == of_patterns.most.keys()
            assert all(most <= of_patterns.most[figure] <= 4 * most for figure, most in of_rooms.most.items())


def test_the_worst_is_named_first_and_the_others_are_counted():
    found = {"depth": DEPTH * np.float32(1.004), "normal": NORMAL}
    departures = measure_departures(
        "room 1 x 100 x 100", found, {"depth": DEPTH, "normal": NORMAL}, FLOAT16_LIMITS.rooms
    )
    text = describe_departures(departures)
    assert text == "depth scale drift on room 1 x 100 x 100: 0.004 (limit 0.001), and 1 more"


def test_what_is_within_the_limits_passes_in_silence():
    departures = measure_departures(
        "room", {"depth": DEPTH * np.float32(1.0005)}, {"depth": DEPTH}, FLOAT16_LIMITS.rooms
    )
    assert describe_departures(departures) == ""
    require_faithful(departures, precision="fp16")
