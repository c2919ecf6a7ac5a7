"""A signal at any moment, from the first line of this package on, ends each program in time, and leaves nothing."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

import tiny_models
from ros_process import next_domain, ros_environment

IN_TIME_S = 3.0
LONG_S = 60.0


def commands(folder):
    """Return every way to start a program of this package that takes a moment to do it."""
    model = tiny_models.save_contract_model(folder / "good.onnx")
    cv2.imwrite(str(folder / "image.png"), np.full((48, 64, 3), 100, np.uint8))
    depth = ["--ros-args", "-p", f"model:={model}"]
    player = [str(folder / "image.png"), "--focal", "50", "--loop"]
    view = ["--save", str(folder / "recording.rrd")]
    found = [
        [sys.executable, "-m", "metric3d_ros.nodes.depth_node", *depth],
        [sys.executable, "-m", "metric3d_ros.nodes.image_player", *player],
        [sys.executable, "-m", "metric3d_ros.nodes.view", *view],
        [sys.executable, "-m", "metric3d_ros.demo", "--output", str(folder / "demo")],
        [sys.executable, "-m", "metric3d_ros.cli", "info", str(model)],
        [sys.executable, "-m", "metric3d_export", "vit_small", "--help"],
    ]
    scripts = Path(sys.executable).parent
    found += [
        [str(scripts / name), *arguments]
        for name, arguments in (
            ("metric3d_depth_node", depth),
            ("metric3d_image_player", player),
            ("metric3d", ["view", *view]),
        )
        if (scripts / name).exists()
    ]
    return found


def wait_for_first_line(process):
    """Wait until the process has a handler for SIGTERM: the first line of this package sets it."""
    deadline_s = time.monotonic() + LONG_S
    while process.poll() is None and time.monotonic() < deadline_s:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)


def files():
    """Return what is in the folders that a process must leave clean."""
    found = {f"/tmp/{name}" for name in os.listdir("/tmp")} | {f"/dev/shm/{name}" for name in os.listdir("/dev/shm")}
    return {
        name
        for name in found
        if Path(name).name.lstrip(".").startswith(("metric3d", "fastrtps", "fastdds", "sem.fast"))
    }


@pytest.mark.alone
@pytest.mark.parametrize(("signals", "seed"), [(20, 1), pytest.param(200, 2, marks=pytest.mark.slow)])
def test_signal_at_a_random_moment_ends_every_program_in_time_and_leaves_nothing(tmp_path, signals, seed):
    drawn = random.Random(seed)
    programs = commands(tmp_path)
    failures = []
    for index in range(signals):
        command = programs[index % len(programs)]
        # A domain of its own, so that each file in /dev/shm is known to be of this process.
        environment = ros_environment(tmp_path / "log", next_domain())
        before = files()
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=tmp_path,
        )
        wait_for_first_line(process)
        delay_s = drawn.choice([0.0, drawn.uniform(0, 0.3), drawn.uniform(0, 3)])
        number = drawn.choice([signal.SIGINT, signal.SIGTERM])
        time.sleep(delay_s)
        with_signal_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            output, _ = process.communicate(timeout=LONG_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        took_s = time.monotonic() - with_signal_s
        left = files() - before
        if process.returncode not in (0, 130) or "Traceback" in output or took_s > IN_TIME_S or left:
            said = f"exit code {process.returncode} after {took_s:.1f} s, left {left}"
            failures.append(f"{number.name} after {delay_s:.3f} s to {' '.join(command)}: {said}\n{output[-1000:]}")
    assert not failures, "\n".join(failures)
