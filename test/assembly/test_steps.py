"""Steps of a long wait as people read them: on a terminal in place, in a log a line now and then."""

import io

import pytest

from metric3d_ros.assembly import steps
from metric3d_ros.assembly.steps import StepLine, StepLog


def test_a_log_gets_a_line_for_each_step_and_one_each_ten_seconds(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(steps.time, "monotonic", lambda: now_s)
    lines = []
    log = StepLog(lines.append)
    log("reading a file", None)
    for share in (0.0, 0.1, 0.2):
        log("downloading vit_small", share)
        now_s += 4.9
    log("downloading vit_small", 0.43)
    log("downloading vit_small", 0.44)
    assert lines == ["reading a file", "downloading vit_small, 0 %", "downloading vit_small, 43 %"]


def test_a_terminal_shows_a_share_in_place():
    out = io.StringIO()
    line = StepLine(out)
    line("reading", None)
    for share in (0.1, 0.101, 0.5, 1.0):
        line("downloading", share)
    line("comparing", None)
    assert out.getvalue() == (
        "reading\ndownloading, 10 %\r\x1b[Kdownloading, 50 %\r\x1b[Kdownloading, 100 %\ncomparing\n"
    )


def test_a_step_that_stops_midway_leaves_its_line(capsys):
    out = io.StringIO()
    line = StepLine(out)
    line("downloading", 0.1)
    line("waiting", None)
    assert out.getvalue() == "downloading, 10 %\nwaiting\n"


@pytest.mark.parametrize("share", [None, 0.5])
def test_what_is_no_terminal_gets_lines(capsys, share):
    steps.tell_terminal()("downloading", share)
    assert capsys.readouterr().err == ("downloading\n" if share is None else "downloading, 50 %\n")
