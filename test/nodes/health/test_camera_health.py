"""What a camera's state is called, for each thing that can be the matter with it."""

import dataclasses

import pytest

from metric3d_ros.nodes.health.camera_health import CameraHealth, Judgement, Level, Observation


def watch(*seconds, **fields):
    """Return the last judgement of observations one second apart; each names what is new in it."""
    health, now = CameraHealth(), Observation(at_s=100.0, **fields)
    judgement = health.add(now)
    for new in seconds:
        now = dataclasses.replace(now, at_s=now.at_s + 1, **new)
        judgement = health.add(now)
    return judgement


RUNNING = [{"received": 30 * n, "published": 2 * n} for n in range(1, 4)]


def test_frames_in_and_out_are_running():
    assert watch(*RUNNING) == Judgement(Level.OK, "running")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"ready": False}, "loading the model"),
        ({"enabled": False}, "disabled"),
        ({"wanted": False}, "idle: no subscribers"),
    ],
)
def test_what_is_meant_to_be_silent_is_ok_and_says_why(fields, text):
    silent = [{"received": 30 * n} for n in range(1, 4)]
    assert watch(*silent, **fields) == Judgement(Level.OK, text)
    assert watch(**fields) == Judgement(Level.OK, text)


def test_no_images_are_waited_for_with_the_reason():
    judgement = watch({}, {}, silence="nothing publishes on /eye")
    assert judgement == Judgement(Level.WARN, "waiting for images: nothing publishes on /eye")
    assert watch({}).text == "waiting for images: none has come yet"


def test_images_that_stop_are_waited_for_after_the_window():
    stopped = [{"received": 90, "published": 6}] * 4
    assert watch(*RUNNING, *stopped) == Judgement(Level.OK, "running")
    assert watch(*RUNNING, *stopped * 2).text.startswith("waiting for images")


def test_images_without_camera_info_wait_for_it_with_the_reason():
    waiting = [{"received": 30 * n} for n in range(1, 4)]
    judgement = watch(*waiting, missing_camera_info="no camera_info has come")
    assert judgement == Judgement(Level.WARN, "waiting for camera_info: no camera_info has come")


def test_one_image_that_waits_a_moment_for_its_camera_info_does_not_matter():
    assert watch(*RUNNING, missing_camera_info="no camera_info has come").text == "running"


def test_nothing_but_bad_frames_is_failing_with_the_last_reason():
    bad = [{"received": n, "bad": n, "last_reason": f"reason {n}"} for n in range(1, 4)]
    assert watch(*bad) == Judgement(Level.ERROR, "failing: reason 3")


def test_some_bad_frames_are_a_warning_with_their_number():
    some = [{"received": 10 * n, "published": 8 * n, "bad": 2 * n, "last_reason": "no data"} for n in range(1, 4)]
    assert watch(*some) == Judgement(Level.WARN, "running, but 6 of 30 frames were bad: no data")


def test_lost_images_are_a_warning():
    assert watch(*RUNNING, loss="3 of 150") == Judgement(Level.WARN, "running, but images are lost: 3 of 150")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"slowness": "3 of 3 images"}, "running, but too slow: 3 of 3 images"),
        ({"missing_depth": "90% give no point"}, "running, but 90% give no point"),
        ({"other_clock": "no stamp (0)"}, "running, but no stamp (0)"),
        (
            {"slowness": "3 of 3 images", "other_clock": "no stamp (0)", "loss": "2 of 9"},
            "running, but images are lost: 2 of 9; and too slow: 3 of 3 images; and no stamp (0)",
        ),
    ],
)
def test_what_is_wrong_beside_is_a_warning_and_nothing_hides_it(fields, text):
    assert watch(*RUNNING, **fields) == Judgement(Level.WARN, text)
    assert watch(*[{}] * 8, busy=True, received=1, **fields) == Judgement(Level.WARN, text), "while one takes long"


def test_inference_that_takes_longer_than_the_window_is_running():
    assert watch(*[{}] * 8, received=1, busy=True) == Judgement(Level.OK, "running")


def test_rates_are_those_of_the_last_seconds():
    health = CameraHealth()
    assert health.rate_hz("received") == 0.0
    for second in range(20):
        # 10 Hz for ten seconds, then 30 Hz.
        received = 10 * second if second < 10 else 90 + 30 * (second - 9)
        health.add(Observation(at_s=float(second), received=received, published=second))
    assert health.rate_hz("received") == 30.0
    assert health.rate_hz("published") == 1.0


def test_a_doubtful_calibration_is_a_warning_after_what_is_more_urgent():
    assert watch(*RUNNING, doubt="K is odd") == Judgement(
        Level.WARN, "running, but the calibration is doubtful: K is odd"
    )
    both = watch(*RUNNING, doubt="K is odd", loss="3 of 150")
    assert both.text == "running, but images are lost: 3 of 150; and the calibration is doubtful: K is odd"
