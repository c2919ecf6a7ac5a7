"""What does not send the scale off: a ramp, a view without floor, a hand before the camera; on true depth."""

import pytest

from metric3d_ros.evaluation.hard_drives import DRIVES, excursions, scaled
from metric3d_ros.evaluation.sequence_measures import WRONG_SCALE, exact


@pytest.mark.parametrize(
    ("drive", "largest", "refused"), [("ramp", 0.09, 0.3), ("no floor", 0.01, 0.3), ("hand", 0.03, 0.0)]
)
def test_the_scale_is_not_sent_off(drive, largest, refused):
    frames = list(DRIVES[drive](size=(168, 126)))
    found = excursions(frames, [scaled(exact(frame), WRONG_SCALE) for frame in frames])
    assert found["camera height"]["largest"] < largest
    assert found["camera height"]["refused"] >= refused, "what is no ground is not taken for one"
    assert found["camera height"]["median"] < 0.01
    assert found["ranges"]["largest"] < 0.03
