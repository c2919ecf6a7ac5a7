"""The node's benchmark runs, and its figures are those of the frames that it sent."""

import mmap
import os
import re
import subprocess
import sys
import tempfile

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from metric3d_ros.bench.node.overhead import EVERYTHING, cpu_seconds, read_memory, row


def test_short_run_reports_every_stage_and_topic_of_the_frames(tmp_path):
    command = [sys.executable, "-m", "metric3d_ros.bench.node.overhead", "overhead-vga", "--seconds", "2"]
    environment = os.environ | {"ROS_LOG_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    counts = {name: int(n) for name, n in re.findall(r"(images received|frames published) (\d+)", done.stdout)}
    rows = dict(re.findall(r"^ +(\S.*?) +p50 .*\((\d+)\)$", done.stdout, re.MULTILINE))
    for topic in EVERYTHING:
        assert int(rows[topic]) > 0, topic
        assert int(rows[f"stamp to arrival, {topic}"]) > 0, topic
    assert 0 < int(rows["total"]) <= counts["frames published"] <= counts["images received"]
    assert re.search(r"memory in MiB, from start to end: \d+ \d+", done.stdout)
    assert re.search(r"shared memory that it has mapped, MiB: \d+ \d+", done.stdout)


def test_row_states_percentiles_and_how_many():
    assert row("infer", [1.0, 2.0, 3.0]).split() == ["infer", "p50", "2.0", "p95", "2.9", "max", "3.0", "ms", "(3)"]
    assert row("infer", []).split() == ["infer", "nothing", "came"]


def test_own_process_is_measured():
    before_s = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before_s + 0.05:
        pass
    assert 5 < read_memory(os.getpid()).own_mib < 5000


def test_shared_memory_is_told_from_a_process_own():
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.truncate(32 << 20)
        before = read_memory(os.getpid())
        with mmap.mmap(file.fileno(), 32 << 20) as segment:
            for _ in range(32 << 4):  # in pieces, since a block of 32 MiB may stay with this process
                segment.write(b"x" * (1 << 16))
            after = read_memory(os.getpid())
    assert after.shared_mib - before.shared_mib > 31
    assert after.own_mib - before.own_mib < 16
