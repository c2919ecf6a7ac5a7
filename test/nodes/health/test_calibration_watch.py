"""What is said of a camera's calibration, and how often."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from sensor_msgs.msg import CameraInfo

from metric3d_ros.camera import Camera
from metric3d_ros.nodes.health.calibration_watch import CalibrationWatch


class Watched:
    def __init__(self):
        self.said = []
        self.now_s = 100.0
        self._watch = CalibrationWatch(warn=self.said.append, clock_s=lambda: self.now_s)

    def look(self, f, cx, cy, *, d=(), wait_s=1.5):
        self.now_s += wait_s
        k = np.array([f, 0.0, cx, 0.0, f, cy, 0.0, 0.0, 1.0])
        model = "plumb_bob" if len(d) else ""
        info = CameraInfo(width=640, height=480, k=k, d=list(d), distortion_model=model)
        self._watch.check(Camera.from_camera_info(info), info, rectified=False)
        return self._watch.report


def test_a_good_calibration_is_silent():
    watched = Watched()
    report = watched.look(500.0, 320.0, 240.0)
    assert (report.findings, report.summary, report.without_ray) == ((), "", 0.0)
    assert watched.said == []


def test_a_doubtful_calibration_is_said_once_while_it_lasts():
    watched = Watched()
    for _ in range(50):
        report = watched.look(277.0, 160.0, 120.0)
    assert len(watched.said) == 1
    assert "is that of another size" in report.summary


def test_numbers_that_wander_are_said_every_ten_seconds_and_the_last_ones_in_the_end():
    watched = Watched()
    for step in range(20):
        watched.look(277.0 + step, 160.0 + step, 120.0 + step)
    assert len(watched.said) == 3, "in 28.5 seconds"
    for _ in range(20):
        watched.look(277.0 + 19, 160.0 + 19, 120.0 + 19)
    assert len(watched.said) == 4
    assert "(179, 139)" in watched.said[-1]


def test_another_doubt_is_said_at_once_and_counted_in_the_summary():
    watched = Watched()
    watched.look(277.0, 160.0, 120.0)
    report = watched.look(50.0, 160.0, 120.0)
    assert len(watched.said) == 2
    assert "field of view" in watched.said[1]
    assert report.summary.endswith("(and 1 more)")


def test_a_calibration_that_was_corrected_is_fine_again():
    watched = Watched()
    watched.look(277.0, 160.0, 120.0)
    assert watched.look(500.0, 320.0, 240.0).summary == ""


def test_a_calibration_that_changes_with_every_image_is_looked_at_once_a_second():
    watched = Watched()
    reports = [watched.look(500.0 + step, 320.0, 240.0, wait_s=0.1) for step in range(50)]
    assert 4 <= len({id(report) for report in reports}) <= 6


def test_the_share_of_pixels_without_a_ray_is_known():
    report = Watched().look(300.0, 320.0, 240.0, d=(-0.6, 0.0, 0.0, 0.0, 0.0))
    assert 0.1 < report.without_ray < 0.9
    assert "of the image has no ray" in report.summary
