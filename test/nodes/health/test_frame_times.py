"""Percentiles of the times of the latest frames."""

import threading

import pytest

from metric3d_ros.nodes.health.frame_times import FrameTimes


def test_percentiles_are_those_of_each_stage():
    times = FrameTimes(clock_s=lambda: 0.0)
    for number in range(1, 102):
        times.add({"infer": float(number), "total": 2.0 * number})
    percentiles = times.percentiles()
    assert list(percentiles) == ["infer", "total"]
    assert percentiles["infer"].p50_ms == 51.0
    assert percentiles["infer"].p95_ms == 96.0
    assert percentiles["total"].p50_ms == 102.0


def test_stage_that_only_some_frames_have_counts_only_those():
    times = FrameTimes(clock_s=lambda: 0.0)
    times.add({"decode": 1.0})
    times.add({"decode": 3.0, "points": 10.0})
    percentiles = times.percentiles()
    assert percentiles["decode"].p50_ms == 2.0
    assert percentiles["points"].p50_ms == 10.0


def test_frames_of_more_than_ten_seconds_ago_are_forgotten():
    now_s = 0.0
    times = FrameTimes(clock_s=lambda: now_s)
    times.add({"infer": 100.0})
    now_s = 8.0
    times.add({"infer": 200.0})
    now_s = 10.5
    assert times.percentiles()["infer"].p50_ms == 200.0
    now_s = 18.5
    assert times.percentiles() == {}


def test_memory_is_bounded_however_fast_frames_come():
    times = FrameTimes(clock_s=lambda: 0.0)
    for number in range(3000):
        times.add({"infer": float(number)})
    assert times.percentiles()["infer"].p50_ms == pytest.approx(2499.5), "the last thousand"


def test_one_thread_may_add_while_another_reads():
    times = FrameTimes()
    stop = threading.Event()

    def add():
        while not stop.is_set():
            times.add({"infer": 1.0, "total": 2.0})

    writer = threading.Thread(target=add)
    writer.start()
    try:
        for _ in range(50):
            assert times.percentiles().get("infer", None) is None or times.percentiles()["infer"].p50_ms == 1.0
    finally:
        stop.set()
        writer.join()
