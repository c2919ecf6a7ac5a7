"""Numbers that make no sense are refused by the programs of the export tool at once, in a line with the option."""

import importlib

import pytest
from memory_limit import memory_of

from metric3d_export import matrix_speed
from metric3d_export.checks.verify import make_cases
from metric3d_export.network.variants import build_network
from metric3d_export.progress import Progress
from metric3d_ros.errors import OutOfMemoryError

CUT = ("demo_model.photographs.cut", "none.hdr", "-o", "out")
DRAW = ("demo_model.photographs.draw", "none.jpg", "-o", "out.jpg")
MEASURE = ("demo_model.measure",)
RUNNER = ("pytorch_runner", "vit_demo", "none.npy")
SPEED = ("matrix_speed",)
TRAIN = ("demo_model.train", "--folder", "out")


@pytest.mark.parametrize(
    ("program", "words", "message"),
    [
        (CUT, ["--headings", "0", "nan"], "--headings is nan, expected -360 to 360 degrees"),
        (CUT, ["--headings", "1e300"], "--headings is 1e+300, expected -360 to 360 degrees"),
        (DRAW, ["--hfov", "180"], "--hfov is 180, expected degrees above 0, at most 179.9"),
        (DRAW, ["--sheet", "-1"], "--sheet is -1, expected 0 to 546"),
        (DRAW, ["--threads", "-1"], "--threads is -1, expected 0 to 1024"),
        (MEASURE, ["--scenes", "0"], "--scenes is 0, expected 1 to 1000000000"),
        (MEASURE, ["--threads", "-1"], "--threads is -1, expected 0 to 1024"),
        (RUNNER, ["--focal", "nan"], "--focal is nan, expected pixels above 0, at most 10000000"),
        (RUNNER, ["--focal", "0"], "--focal is 0, expected pixels above 0, at most 10000000"),
        (RUNNER, ["--focal", "9", "--threads", "-1"], "--threads is -1, expected 0 to 1024"),
        (SPEED, ["--side", "0"], "--side is 0, expected 1 to 1000000"),
        (SPEED, ["--seconds", "inf"], "--seconds is inf, expected a number above 0, at most 1000000000"),
        (TRAIN, ["--minutes", "nan"], "--minutes is nan, expected a number above 0, at most 1000000000"),
        (TRAIN, ["--minutes", "0"], "--minutes is 0, expected a number above 0, at most 1000000000"),
        (TRAIN, ["--workers", "-1"], "--workers is -1, expected 0 to 1024"),
        (TRAIN, ["--threads", "0"], "--threads is 0, expected 1 to 1024"),
    ],
)
def test_number_that_makes_no_sense_is_one_line_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, program, words, message
):
    monkeypatch.chdir(tmp_path)
    name, *needed = program
    assert importlib.import_module(f"metric3d_export.{name}").main([*needed, *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.removeprefix("error: ") == message
    assert list(tmp_path.iterdir()) == []


def test_matrices_too_large_for_the_memory_name_the_option(capsys):
    with memory_of(1 << 30):
        assert matrix_speed.main(["--side", "100000"]) == 1
    assert capsys.readouterr().err == "error: multiplying matrices: out of memory; choose a smaller --side\n"


def test_sizes_too_large_for_the_memory_name_the_option():
    network = build_network("vit_demo").eval()
    with memory_of(1 << 30), pytest.raises(OutOfMemoryError, match=r"1 x 30000 x 30000: .*choose a smaller --verify-s"):
        make_cases(network, more_sizes_hw=[(30000, 30000)], progress=Progress())
