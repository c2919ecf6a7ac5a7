"""What does not send the scale off: a ramp, a view without floor, a hand before the camera; on true depth."""

import json
import math
from functools import partial

import numpy as np
import pytest

from metric3d_ros.evaluation import hard_drives
from metric3d_ros.evaluation.hard_drives import DRIVES, excursions, main, scaled
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


def test_the_program_prints_true_depth_and_a_models_for_each_drive(monkeypatch, model, capsys):
    measured, measure = [], hard_drives.excursions

    def remember(frames, estimates):
        measured.append((frames[0].true_depth_m, estimates[0].depth_m, len(frames)))
        return measure(frames, estimates)

    monkeypatch.setattr(hard_drives, "excursions", remember)
    monkeypatch.setattr(hard_drives, "FRAMES", 12)
    small = {name: partial(drive, size=(84, 63)) for name, drive in DRIVES.items()}
    monkeypatch.setattr(hard_drives, "DRIVES", small)
    assert main(["--model", str(model), "--threads", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    depths = ("true depth", "model")
    assert [(each["drive"], each["depth"]) for each in lines] == [(name, depth) for name in DRIVES for depth in depths]
    assert [count for *_, count in measured] == [12] * 6
    for line, (true_m, given_m, _) in zip(lines, measured, strict=True):
        assert set(line) == {"drive", "depth", "camera height", "ranges"}
        for source in ("camera height", "ranges"):
            assert set(line[source]) == {"largest", "median", "at the end", "factor moved", "refused"}
            assert 0 <= line[source]["median"] <= line[source]["largest"]
        if line["depth"] == "true depth":
            np.testing.assert_allclose(given_m, true_m * WRONG_SCALE, rtol=1e-6)
            assert line["ranges"]["largest"] < 0.03 < math.log(WRONG_SCALE)
        else:
            assert not np.allclose(given_m, true_m * WRONG_SCALE)
