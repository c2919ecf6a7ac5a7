"""Numbers and sizes on the command line: those that make no sense are refused at once, in a line with the option."""

import argparse
import importlib

import numpy as np
import pytest
from stand_ins import raising

from metric3d_ros.cli import VERBS, main
from metric3d_ros.command_line import parse_size, require_numbers
from metric3d_ros.errors import ConfigurationError

POSITIONALS = {"check-camera": ["/camera/camera_info"], "run": ["nowhere", "-o", "out"]}
ANY_WHOLE_NUMBER = {"--scene"}
LARGE = "9" * 30
VALUES = {float: ["nan", "inf", "-inf", "-1", "1e300"], int: ["-1", LARGE]}


def numbers_of(verb):
    """Yield the options of a verb that take numbers, and their type."""
    parser = argparse.ArgumentParser()
    importlib.import_module(VERBS[verb].module).add_arguments(parser)
    for action in parser._actions:
        if action.type in VALUES and action.option_strings[0] not in ANY_WHOLE_NUMBER:
            yield action.option_strings[0], action.type


NUMBERS = [(verb, *number) for verb in VERBS if verb != "export" for number in numbers_of(verb)]
"""`export` takes sizes alone, and to import it takes PyTorch."""


@pytest.mark.parametrize(
    ("verb", "option", "value"), [(verb, option, value) for verb, option, kind in NUMBERS for value in VALUES[kind]]
)
def test_number_that_makes_no_sense_is_refused_in_a_line_with_its_option(capsys, verb, option, value):
    assert main([verb, *POSITIONALS.get(verb, []), f"{option}={value}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"metric3d {verb}: {option} is {'1e+300' if value == '1e300' else value}, expected ")


def test_numbers_of_many_options_were_tried():
    assert {"--timeout", "--max-depth", "--hfov", "--tolerance", "--web-port"} <= {option for _, option, _ in NUMBERS}
    assert len(NUMBERS) >= 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--max-depth", "0"], "--max-depth is 0, expected metres above 0, at most 1000000000"),
        (["evaluate", "here", "--depth-scale", "0"], "--depth-scale is 0, expected units per metre above 0"),
        (["evaluate", "here", "--focal", "0"], "--focal is 0, expected pixels above 0, at most 10000000"),
        (["evaluate", "--focal-factor", "0.1"], "--focal-factor is 0.1, expected 0.2 to 20 times the width"),
        (["evaluate", "--size", "60000x70000"], "--size is '60000x70000', expected WIDTHxHEIGHT such as 640x480, with"),
        (["evaluate", "--size", "\u00b2x48"], "--size is '\u00b2x48', expected WIDTHxHEIGHT"),
        (["demo", "--focal", "0"], "--focal is 0, expected pixels above 0"),
        (["demo", "--hfov", "180"], "--hfov is 180, expected degrees above 0, at most 179.9"),
        (["bench", "--tolerance", "1.5"], "--tolerance is 1.5, expected a number above 0, at most 1"),
        (["view", "--port", "65536"], "--port is 65536, expected 0 to 65535"),
    ],
)
def test_limits_are_those_of_what_is_counted(capsys, words, message):
    assert main(words) == 1
    assert f": {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "words", "message"),
    [
        ("evaluation.node_sequences", ["--flights", "0"], "--flights is 0, expected 1 to"),
        ("evaluation.node_sequences", ["--frames", LARGE], f"--frames is {LARGE}, expected 11 to 100000"),
        ("evaluation.node_sequences", ["--frames", "10"], "--frames is 10, expected 11 to 100000"),
        ("evaluation.node_sequences", ["--threads", "-1"], "--threads is -1, expected 0 to 1024"),
        ("evaluation.node_sequences", ["--size", "336"], "--size is '336', expected WIDTHxHEIGHT"),
        ("evaluation.correction_cost", ["--size", "8x640"], "--size is '8x640', expected WIDTHxHEIGHT"),
        ("evaluation.correction_cost", ["--size", "x"], "--size is 'x', expected WIDTHxHEIGHT"),
        ("evaluation.hard_drives", ["--threads", "-1"], "--threads is -1, expected 0 to 1024"),
        ("evaluation.hard_drives", ["--threads", "2000"], "--threads is 2000, expected 0 to 1024"),
        ("evaluation.sequence_measures", ["--flights", "-1"], "--flights is -1, expected 1 to"),
        ("evaluation.sequence_measures", ["--frames", "0"], "--frames is 0, expected 1 to"),
        ("evaluation.sequence_measures", ["--threads", "-1"], "--threads is -1, expected 0 to 1024"),
        ("evaluation.lens_measures", ["--flights", "0"], "--flights is 0, expected 1 to"),
        ("evaluation.lens_measures", ["--threads", "-1"], "--threads is -1, expected 0 to 1024"),
        ("bench.node.overhead", ["--seconds", "nan"], "--seconds is nan, expected a number above 0"),
        ("bench.node.overhead", ["--seconds", "0"], "--seconds is 0, expected a number above 0"),
        ("bench.node.respawn", ["--times", "0"], "--times is 0, expected 1 to"),
        ("bench.node.respawn", ["--timeout", "inf"], "--timeout is inf, expected seconds above 0"),
        ("bench.node.respawn", ["--delay", "-1"], "--delay is -1, expected 0 to 1000000000 seconds"),
    ],
)
def test_programs_beside_metric3d_refuse_them_as_well(capsys, module, words, message):
    assert importlib.import_module(f"metric3d_ros.{module}").main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"error: {message}" in line


def test_sizes_of_bench_too_large_for_the_memory_name_the_option(monkeypatch, capsys):
    monkeypatch.setattr("metric3d_ros.bench.cli.make_task", raising(MemoryError()))
    assert main(["bench", "--model", "demo", "--sizes", "9000x16000", "--no-node"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "metric3d bench: measuring at 9000x16000: out of memory; choose smaller --sizes"


def given(**values):
    return argparse.Namespace(**values)


def test_numbers_at_the_limits_are_accepted():
    require_numbers(given(focal_px=1e-9, port=65535, none=None), "focal_px", "port", "none", above=0)
    require_numbers(given(port=0), "port", least=0, most=65535)
    require_numbers(given(port=65535), "port", least=0, most=65535)
    require_numbers(given(headings=[-360.0, 0.0, 360.0]), "headings", least=-360, most=360)


@pytest.mark.parametrize("value", [0.0, -0.0, np.nextafter(10.0, 11.0), float("nan")])
def test_each_number_of_an_option_is_checked(value):
    with pytest.raises(ConfigurationError, match=r"--focal-px is .*, expected pixels above 0, at most 10$"):
        require_numbers(given(focal_px=[1.0, float(value)]), "focal_px", above=0, most=10, unit="pixels")


def test_number_of_many_digits_is_cut():
    with pytest.raises(ConfigurationError, match=r"^--count is 9{37}\.\.\., expected 1 to 1000000000$"):
        require_numbers(given(count=10**4000 - 1), "count", least=1)


def test_sides_of_a_size_keep_their_order():
    assert parse_size(" 640 X 480 ", option="--size WIDTHxHEIGHT") == (640, 480)
    assert parse_size("28x65535", option="--size WIDTHxHEIGHT", least=28) == (28, 65535)


@pytest.mark.parametrize(
    "text",
    ["", "640", "640x", "axb", "640x480x3", "-640x480", "27x280", "65536x480", "6.4e2x480", "\u0661x480", "9" * 5000],
)
def test_what_is_no_size_is_refused_with_an_example_in_the_order_of_its_sides(text):
    for order, example in (("HEIGHTxWIDTH", "480x640"), ("WIDTHxHEIGHT", "640x480")):
        with pytest.raises(ConfigurationError) as refused:
            parse_size(text, option=f"--work {order}", least=28)
        shown = text if len(text) < 40 else "9" * 37 + "..."
        assert str(refused.value) == (
            f"--work is '{shown}', expected {order} such as {example}, with sides of 28 to 65535 pixels"
        )
