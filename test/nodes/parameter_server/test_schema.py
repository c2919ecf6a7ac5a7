"""Parameter tables: one entry gives type, default, limits, command line and documents."""

import argparse
import array
from dataclasses import dataclass, field

import pytest

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.schema import (
    add_options,
    build,
    entries,
    flatten,
    format_value,
    options_to_values,
    parameter,
)


def refuse_odd(value):
    if value % 2:
        raise ConfigurationError(f"{value} is odd, expected even")


@dataclass(frozen=True, kw_only=True)
class Inner:
    stride: int = parameter(1, "Every n-th pixel.", unit="px", minimum=1, maximum=64)
    even: int = parameter(2, "An even number.", check=refuse_odd)


@dataclass(frozen=True, kw_only=True)
class Table:
    name: str = parameter("demo", "A name.", read_only=True)
    mode: str = parameter("auto", "A choice.", choices=("auto", "cpu"), option="--how")
    limit_m: float = parameter(5.0, "A distance.", unit="m", minimum=0.0)
    flag: bool = parameter(True, "A switch.")
    numbers: tuple[float, ...] = parameter((0.0, 0.0), "Numbers.")
    cameras: tuple[str, ...] = parameter(("",), "Names.")
    points: Inner = field(default_factory=Inner)

    def __post_init__(self):
        if self.limit_m == 13:
            raise ConfigurationError("limit_m and fate do not go together")


def test_entries_carry_full_names_in_order():
    names = [entry.name for entry in entries(Table)]
    assert names == ["name", "mode", "limit_m", "flag", "numbers", "cameras", "points.stride", "points.even"]


def test_entries_carry_the_types_that_ros_knows():
    kinds = {entry.name: entry.kind_name for entry in entries(Table)}
    assert kinds == {
        "name": "string",
        "mode": "string",
        "limit_m": "double",
        "flag": "bool",
        "numbers": "double[]",
        "cameras": "string[]",
        "points.stride": "int",
        "points.even": "int",
    }


def test_defaults_stand_where_nothing_is_given():
    assert build(Table, {}) == Table()


def test_flatten_is_the_inverse_of_build():
    values = {
        "name": "x",
        "mode": "cpu",
        "limit_m": 2.5,
        "flag": False,
        "numbers": (1.0, 2.0),
        "cameras": ("a", "b"),
        "points.stride": 3,
        "points.even": 4,
    }
    table = build(Table, values)
    assert table.points.stride == 3
    assert flatten(table) == values


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("limit_m", 7, 7.0),
        ("numbers", [1, 2.5], (1.0, 2.5)),
        ("numbers", array.array("d", [3.0]), (3.0,)),
        ("cameras", ["front"], ("front",)),
    ],
)
def test_values_become_the_parameters_own_type(name, given, taken):
    accepted = flatten(build(Table, {name: given}))[name]
    assert accepted == taken
    assert type(accepted) is type(taken)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("points.stride", 0, "expected int 1 to 64 px"),
        ("points.stride", 65, "expected int 1 to 64 px"),
        ("points.stride", 2.0, "expected int"),
        ("points.stride", True, "expected int"),
        ("limit_m", -0.1, "expected double at least 0 m"),
        ("limit_m", float("nan"), "expected double"),
        ("limit_m", float("inf"), "expected double"),
        ("limit_m", "5", "expected double"),
        ("flag", 1, "expected bool"),
        ("mode", "gpu", "expected string auto, cpu"),
        ("numbers", [1.0, float("nan")], "expected double[]"),
        ("numbers", ["1"], "expected double[]"),
        ("numbers", 1.0, "expected double[]"),
        ("cameras", "front", "expected string[]"),
    ],
)
def test_refusal_names_parameter_value_and_what_was_expected(name, value, expected):
    with pytest.raises(ConfigurationError) as refused:
        build(Table, {name: value})
    assert str(refused.value).startswith(f"parameter {name} is {value!r}, {expected}")
    assert "\n" not in str(refused.value)


def test_own_check_and_combination_are_applied():
    with pytest.raises(ConfigurationError, match="3 is odd"):
        build(Table, {"points.even": 3})
    with pytest.raises(ConfigurationError, match="fate"):
        build(Table, {"limit_m": 13.0})


def test_unknown_name_is_refused():
    with pytest.raises(ConfigurationError, match=r"parameter points\.strde is not known"):
        build(Table, {"points.strde": 1})


def parse(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, Table, positional="name")
    return options_to_values(parser.parse_args(arguments), Table)


def test_command_line_gives_only_what_was_said():
    assert parse() == {}
    given = parse("model.onnx", "--how", "cpu", "--limit-m", "3", "--no-flag", "--points-stride", "2")
    assert given == {"name": "model.onnx", "mode": "cpu", "limit_m": 3.0, "flag": False, "points.stride": 2}


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (1.0, "1.0"), (3, "3"), ("", '""'), ("a b", '"a b"'), ((1.0, 2.0), "[1.0, 2.0]")],
)
def test_values_are_written_as_yaml(value, text):
    assert format_value(value) == text
