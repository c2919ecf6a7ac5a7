"""The demo with a viewer beside it: a window, or a page in the browser that stays until Ctrl-C."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import psutil
import pytest
import tiny_models

pytest.importorskip("rclpy", reason="the demo runs ROS nodes, and rclpy is not installed")
pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")

from ros_process import next_domain

from metric3d_ros.recordings.images import write_rgb

PATIENCE_S = 120


@pytest.fixture
def command(tmp_path):
    """A demo of two small images with a model that answers at once."""
    for name in ("a.png", "b.png"):
        write_rgb(tmp_path / "in" / name, np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8))
    model = tiny_models.save_contract_model(tmp_path / "tiny.onnx")
    words = ["--model", model, "--images", tmp_path / "in", "--focal", 80, "--output", tmp_path / "out"]
    return [sys.executable, "-m", "metric3d_ros.demo", *map(str, words)]


@pytest.fixture
def environment():
    """An environment without a display, and with a ROS domain of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ROS_", "DISPLAY", "WAYLAND"))}
    return {**kept, "ROS_DOMAIN_ID": str(next_domain()), "PYTHONUNBUFFERED": "1"}


def left_behind(folder):
    """Return the processes that still write to or read from this run's folder, or serve a viewer for it."""
    return [each for each in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(each.info["cmdline"] or [])]


def test_the_web_viewer_gets_the_frames_and_ends_with_a_demo_that_nobody_sits_at(command, environment, tmp_path):
    # The player starts after the viewer, which may discover it a few frames late on a busy machine.
    for number in range(10):
        write_rgb(tmp_path / "in" / f"more_{number}.png", np.full((60, 90, 3), 10 * number, np.uint8))
    result = subprocess.run(
        [*command, "--viewer", "web"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"open in a browser: http://127\.0\.0\.1:\d+/\?url=", result.stdout)
    assert str(tmp_path / "out" / "index.html") in result.stdout
    assert "Ctrl-C" not in result.stdout
    log = (tmp_path / "out" / "logs" / "view.log").read_text()
    for kind in ("image", "depth", "normals", "points"):
        assert f"{kind} has come" in log
    assert "Traceback" not in log
    assert not left_behind(tmp_path)


def test_at_a_terminal_the_page_stays_until_ctrl_c_which_is_no_failure(command, environment):
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*command, "--viewer", "web"],
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    os.close(terminal)
    shown = bytearray()

    def read():
        while True:
            try:
                piece = os.read(controller, 4096)
            except OSError:  # how Linux says that the other end was closed
                return
            shown.extend(piece)

    threading.Thread(target=read, daemon=True).start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while b"Press Ctrl-C to end." not in shown:
            assert process.poll() is None, shown.decode()
            assert time.monotonic() < deadline, shown.decode()
            time.sleep(0.1)
        assert b"index.html" in shown  # the report is there already
        page = re.search(rb"still to be seen at (http://\S+)", shown).group(1).decode()
        with urllib.request.urlopen(page, timeout=10) as answer:
            assert answer.status == 200
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(controller)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(page, timeout=10)


@pytest.mark.skipif(sys.platform != "linux", reason="a window needs no variable elsewhere")
def test_a_window_without_a_display_is_refused_before_anything_else_happens(command, environment, tmp_path):
    result = subprocess.run(
        [*command, "--viewer", "rerun"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert "there is no display for Rerun's window" in result.stderr
    assert "VIEWER=web" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
