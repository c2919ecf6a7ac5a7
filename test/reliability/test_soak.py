"""`make soak` runs real processes, and its verdict is good only if every promise was kept."""

from __future__ import annotations

import dataclasses
import mmap

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import os

from process_figures import ProcessFigures
from soak import MOST_GROWTH_BYTES, Record, soak, verdict

LOOK = ProcessFigures(
    own_bytes=90 << 20, proportional_bytes=120 << 20, descriptors=22, threads=17, shared_files=9, shared_bytes=1 << 20
)
COUNTS = {
    "images received": 95,
    "images lost on the way": 5,
    "frames published": 60,
    "dropped, bad": 10,
    "dropped, no subscribers": 25,
}


def good(**others):
    return dataclasses.replace(
        Record(looks=[LOOK] * 10, sent=100, counts=dict(COUNTS), received_outputs=50, exit_code=0), **others
    )


def growing(**by):
    return [
        dataclasses.replace(LOOK, **{name: getattr(LOOK, name) + i * n for name, n in by.items()}) for i in range(10)
    ]


def test_kept_promises_are_a_good_verdict():
    lines, is_good = verdict(good())
    assert is_good, lines
    assert all(line.startswith("kept: ") for line in lines)
    assert "95 received = 60 published + 35 dropped" in lines[0]


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (good(counts={**COUNTS, "frames published": 59}), "frames"),
        (good(counts={}), "frames"),
        (good(sent=101), "images"),
        (good(received_outputs=0), "subscribers"),
        (good(looks=[LOOK]), "quiet phases"),
        (good(exit_code=1), "exit code"),
        (good(exit_code=None), "exit code"),
        (good(complaints=["Traceback"]), "errors logged"),
        (good(looks=growing(own_bytes=MOST_GROWTH_BYTES // 4)), "memory of its own"),
        (good(looks=growing(descriptors=1)), "descriptors"),
        (good(looks=growing(threads=1)), "threads"),
        (good(looks=growing(shared_files=1)), "/dev/shm"),
    ],
)
def test_each_broken_promise_is_named(record, word):
    lines, is_good = verdict(record)
    assert not is_good
    broken = [line for line in lines if line.startswith("NOT KEPT: ")]
    assert any(word in line for line in broken), broken


def test_figures_of_a_process_follow_what_it_does():
    before = ProcessFigures.of(os.getpid())
    # Of the heap, what other tests gave back might be taken.
    block = mmap.mmap(-1, 32 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.write(bytes(1 << 20) * 32)
    reader, writer = os.pipe()
    after = ProcessFigures.of(os.getpid())
    os.close(reader)
    os.close(writer)
    block.close()
    assert after.own_bytes - before.own_bytes > 20 << 20
    assert after.descriptors == before.descriptors + 2
    assert after.threads >= 1


def test_a_short_soak_of_real_processes_counts_every_image(tmp_path, monkeypatch):
    folders = os.pathsep.join([os.path.dirname(__file__), os.path.join(os.path.dirname(__file__), "../support")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([folders, os.environ.get("PYTHONPATH", "")]))
    record = soak(seconds=9.0, rate_hz=10.0, seed=1, folder=tmp_path)
    lines, _ = verdict(record)
    broken = [line for line in lines if line.startswith("NOT KEPT")]
    # So short a run does not show whether memory and threads are constant.
    assert not [line for line in broken if line.split()[2] in ("frames:", "images:", "exit", "subscribers")], lines
    assert record.sent > 20
