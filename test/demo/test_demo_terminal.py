"""The demo on the terminal, and its clouds in perspective."""

import io

import numpy as np
import pytest

from metric3d_ros.demo.perspective import BACKGROUND_RGB, draw_in_perspective
from metric3d_ros.demo.terminal import LiveView, blocks, format_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_says_how_far_it_is():
    assert format_bar("frame", 3, 12, "5 a second") == "frame  3/12 [######------------------] 5 a second"
    assert format_bar("frame", 0, 0, "") == "frame 0/0 [------------------------]"


def test_lines_go_to_standard_output_as_it_is_now(capsys):
    LiveView().print_line("done")
    assert capsys.readouterr().out == "done\n"


def test_a_log_gets_the_first_and_the_last_line_and_no_escape_codes():
    log = io.StringIO()
    live = LiveView(stream=log, environment={"COLORTERM": "truecolor"})
    picture = np.zeros((20, 30, 3), np.uint8)
    for done in range(1, 51):
        live.frame([picture], "frame", done, 50)
    live.print_line("done")
    assert [line.split(" [")[0] for line in log.getvalue().splitlines()] == ["frame  1/50", "frame 50/50", "done"]
    assert "\x1b" not in log.getvalue()


def test_a_terminal_with_colours_gets_pictures_and_takes_them_back(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "30")
    terminal = Terminal()
    live = LiveView(stream=terminal, environment={"COLORTERM": "truecolor", "TERM": "xterm-256color"})
    live.frame([np.full((60, 80, 3), (1, 2, 3), np.uint8)] * 2, "frame", 1, 1)
    drawn = terminal.getvalue()
    assert "\x1b[38;2;1;2;3;48;2;1;2;3m▀" in drawn
    rows = drawn.count("\n")
    live.print_line("done")
    assert terminal.getvalue() == f"{drawn}\x1b[{rows}F\x1b[Jdone\n"


@pytest.mark.parametrize("environment", [{"TERM": "xterm"}, {"COLORTERM": "truecolor", "NO_COLOR": "1", "TERM": "x"}])
def test_a_terminal_without_colours_gets_the_line_alone(environment):
    terminal = Terminal()
    LiveView(stream=terminal, environment=environment).frame([np.zeros((60, 80, 3), np.uint8)], "frame", 1, 1)
    assert "▀" not in terminal.getvalue()
    assert "frame 1/1" in terminal.getvalue()


def test_half_blocks_show_the_upper_pixel_in_front_and_the_lower_behind():
    picture = np.zeros((16, 8, 3), np.uint8)
    picture[0::2] = (255, 0, 0)
    picture[1::2] = (0, 0, 255)
    lines = blocks([picture], columns=8, rows=8)
    assert len(lines) == 8
    assert lines[0] == "\x1b[38;2;255;0;0;48;2;0;0;255m▀" * 8 + "\x1b[0m"
    assert blocks([picture], columns=80, rows=3) == []


def look_along_x(points, rgb, **options):
    return draw_in_perspective(
        np.array(points, np.float32),
        np.array(rgb, np.uint8),
        eye=np.array([0.0, 0, 0]),
        target=np.array([1.0, 0, 0]),
        size_hw=(41, 61),
        **options,
    )


def test_perspective_puts_left_to_the_left_and_up_to_the_top():
    # Looking along x with z up, +y is on the left.
    picture = look_along_x([[2, 0.5, 0.4]], [[255, 0, 0]], point_size_m=0.1)
    rows, columns = np.nonzero(picture[..., 0] > 100)
    assert len(rows)
    assert columns.max() < 30
    assert rows.max() < 20


def test_the_nearer_point_covers_the_farther_whatever_their_order():
    points, colours = [[2, 0, 0], [4, 0, 0]], [[0, 255, 0], [255, 0, 0]]
    for order in ([0, 1], [1, 0]):
        picture = look_along_x(np.array(points)[order], np.array(colours)[order], point_size_m=0.2)
        assert picture[20, 30].argmax() == 1


def test_points_behind_the_eye_or_nowhere_are_not_drawn():
    picture = look_along_x([[-1, 0, 0], [np.nan, 0, 0], [0.01, 0, 0]], [[255, 255, 255]] * 3)
    assert (picture == BACKGROUND_RGB).all()
