"""The program that times the corrections prints a row for each; how fast they are is not tested."""

import re

import cv2
import pytest

from metric3d_ros.evaluation import correction_cost
from metric3d_ros.evaluation.correction_cost import CASES, main


@pytest.fixture(autouse=True)
def threads_of_opencv():
    """OpenCV's threads as they were: the program takes one."""
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def test_each_correction_has_a_row(monkeypatch, capsys):
    applied, apply = [], correction_cost.DepthCorrector.apply

    def remember(self, estimate, rgb, stamp_s, *, options, ranges):
        applied.append((options, ranges is not None))
        return apply(self, estimate, rgb, stamp_s, options=options, ranges=ranges)

    monkeypatch.setattr(correction_cost.DepthCorrector, "apply", remember)
    monkeypatch.setattr(correction_cost, "_ROUNDS", 1)
    assert main(["--size", "84x56"]) == 0
    rows = [re.fullmatch(r"(.*\S)\s+(\d+\.\d\d) ms", line) for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows] == [*CASES, "ground/plane and points/obstacles"]
    assert cv2.getNumThreads() == 1, "milliseconds of one core"
    assert len(applied) == correction_cost._FRAMES * len(CASES), "each frame with each correction"
    assert all(given == options.scale.ranges for options, given in applied)
    assert {options for options, _ in applied} == set(CASES.values())
