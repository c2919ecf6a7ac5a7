"""How a run shows how far it is: a bar on a terminal, lines in a log."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from metric3d_ros.runs.progress import Progress, describe_duration


def test_a_log_gets_a_line_now_and_then_with_rate_and_time_left(capsys):
    time_s = [0.0]
    progress = Progress(lambda: time_s[0])
    progress.begin(1000, 100)
    for number in range(62):
        time_s[0] += 1.0
        progress.note({"failed": "corrupt"} if number == 3 else {})
    assert capsys.readouterr().err.splitlines() == [
        "130 of about 1000 frames, 1 failed, 1.00 a second, 14 min 30 s left",
        "160 of about 1000 frames, 1 failed, 1.00 a second, 14 min 0 s left",
    ]


def test_durations_are_read_at_a_glance():
    assert [describe_duration(seconds) for seconds in (5, 3599, 3600, 90000)] == [
        "0 min 5 s",
        "59 min 59 s",
        "1 h 0 min",
        "25 h 0 min",
    ]


def test_a_terminal_gets_a_bar_with_rate_and_failures(model, folder, tmp_path):
    (folder / "view_1.png").write_bytes((folder / "view_1.png").read_bytes()[:500])
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    words = ["run", folder, "-o", tmp_path / "out", "--focal", 70, "--model", model, "--provider", "cpu"]
    command = [sys.executable, "-m", "metric3d_ros.cli", *map(str, words)]
    process = subprocess.Popen(command, stderr=terminal, stdout=terminal)
    os.close(terminal)
    shown = b""
    try:
        while data := os.read(controller, 4096):
            shown += data
    except OSError:  # how a terminal whose other end was closed ends
        pass
    finally:
        os.close(controller)
    assert process.wait(timeout=60) == 1
    last_bar = [line for line in re.split(r"[\r\n]+", shown.decode()) if "frame" in line and "|" in line][-1]
    assert "3/3" in last_bar
    assert "1 failed" in last_bar
    assert "2 frames in" in shown.decode()
