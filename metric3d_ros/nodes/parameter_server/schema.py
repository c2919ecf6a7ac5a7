"""Parameters as tables: a frozen dataclass whose fields carry type, default, description, unit, range and choices.

A field that is itself such a dataclass (with `field(default_factory=...)`) is a group: `points: PointsParameters` with
the field `stride` is the ROS parameter `points.stride`. Everything else follows from the table: declarations, checks,
command line, documentation.
"""

import argparse
import array
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.excerpts import excerpt

Value = bool | int | float | str | tuple[float, ...] | tuple[str, ...]
T = TypeVar("T")

_ENTRY = "parameter"
_MOST_LETTERS = 4096
"""Of a text: as many as a path may have."""

KIND_NAMES = {
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    tuple[float, ...]: "double[]",
    tuple[str, ...]: "string[]",
}
"""ROS's names of the types that a parameter may have."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One parameter; `name` and `kind` are filled in from the field that it describes."""

    name: str = ""
    kind: Any = None
    default: Any
    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    read_only: bool = False
    """Cannot change while the node runs; `description` gives the reason unless it is obvious."""
    check: Callable[[Any], object] | None = None
    """Raises ConfigurationError for a value of the right type that cannot be used."""
    option: str = ""
    """Its command line option, such as "--rate"; "" makes it from the name."""

    @property
    def kind_name(self) -> str:
        """ROS's name of the type: bool, int, double, string, double[] or string[]."""
        return KIND_NAMES[self.kind]

    @property
    def words_of_flags(self) -> Mapping[bool, str]:
        """The choices that YAML reads as a bool (true and false, on and off) by what it reads; empty if it has none."""
        for words in ({True: "true", False: "false"}, {True: "on", False: "off"}):
            if self.kind is str and set(words.values()) <= set(self.choices):
                return words
        return {}

    @property
    def limits(self) -> str:
        """Range or choices in words, such as "1 to 64" or "auto, cpu"; "" if there are none."""
        if self.choices:
            return ", ".join(choice or "''" for choice in self.choices)
        if self.minimum is not None and self.maximum is not None:
            return f"{_plain(self.minimum)} to {_plain(self.maximum)}"
        if self.minimum is not None:
            return f"at least {_plain(self.minimum)}"
        return f"at most {_plain(self.maximum)}" if self.maximum is not None else ""

    @property
    def example(self) -> str:
        """The parameter with its default, as a line of a parameter file."""
        return f"{self.name}: {format_value(self.default)}"

    def accept(self, value: Any) -> Value:
        """Return `value` as this parameter's own type; an integer is accepted for a double.

        Raises ConfigurationError for another type, a value outside the range, none of the choices, or a text that
        cannot be printed or is longer than any path.
        """
        accepted = self._convert(value)
        outside = bool(self.choices) and accepted not in self.choices
        for number in accepted if isinstance(accepted, tuple) else (accepted,):
            if isinstance(number, (int, float)):
                outside |= not math.isfinite(number)
                outside |= self.minimum is not None and number < self.minimum
                outside |= self.maximum is not None and number > self.maximum
        if outside:
            raise self._refusal(value)
        for text in accepted if isinstance(accepted, tuple) else (accepted,):
            if isinstance(text, str) and not (text.isprintable() and len(text) <= _MOST_LETTERS):
                raise ConfigurationError(
                    f"parameter {self.name} is {excerpt(value)}, expected letters that can be printed, {_MOST_LETTERS} "
                    "at most"
                )
        if self.check is not None:
            self.check(accepted)
        return accepted

    def _convert(self, value: Any) -> Value:
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is self.kind:
            return value
        if self.words_of_flags and isinstance(value, bool):
            return self.words_of_flags[value]
        is_list = isinstance(value, (list, tuple, array.array))  # rclpy gives any of them
        if is_list and self.kind == tuple[float, ...] and all(type(v) in (int, float) for v in value):
            return tuple(float(v) for v in value)
        if is_list and self.kind == tuple[str, ...] and all(isinstance(v, str) for v in value):
            return tuple(value)
        raise self._refusal(value)

    def _refusal(self, value: Any) -> ConfigurationError:
        expected = " ".join(filter(None, [self.kind_name, self.limits, self.unit]))
        return ConfigurationError(f"parameter {self.name} is {excerpt(value)}, expected {expected}: {self.description}")


# Every change of a parameter goes through all of its table, and finding a table's types takes milliseconds.
_KNOWN_ENTRIES: dict[type, tuple[Entry, ...]] = {}
_KNOWN_KINDS: dict[type, Mapping[str, Any]] = {}


def parameter(default: Any, description: str, **details: Any) -> Any:
    """Return a dataclass field for one parameter; `details` are the other fields of `Entry`."""
    entry = Entry(default=default, description=description, **details)
    return dataclasses.field(default=default, metadata={_ENTRY: entry})


def entries(table: type) -> tuple[Entry, ...]:
    """Return every parameter of `table`, in order, under its full name."""
    if table not in _KNOWN_ENTRIES:
        _KNOWN_ENTRIES[table] = tuple(_entries(table, prefix=""))
    return _KNOWN_ENTRIES[table]


def _entries(table: type, *, prefix: str) -> Iterator[Entry]:
    kinds = _kinds(table)
    for field in dataclasses.fields(table):
        name = prefix + field.name
        if _ENTRY in field.metadata:
            yield dataclasses.replace(field.metadata[_ENTRY], name=name, kind=kinds[field.name])
        else:
            yield from _entries(kinds[field.name], prefix=f"{name}.")


def _kinds(table: type) -> Mapping[str, Any]:
    """Return the type of each field."""
    if table not in _KNOWN_KINDS:
        _KNOWN_KINDS[table] = get_type_hints(table)
    return _KNOWN_KINDS[table]


def build(table: type[T], values: Mapping[str, Any]) -> T:
    """Return `table` with `values` by full name; what is not given keeps its default.

    Raises ConfigurationError for a value that its entry does not accept, for a combination that the table refuses,
    and for a name that is not in the table.
    """
    known = {entry.name: entry for entry in entries(table)}
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ConfigurationError(f"parameter {unknown[0]} is not known, expected one of {', '.join(known)}")
    return _build(table, {name: known[name].accept(value) for name, value in values.items()}, prefix="")


def _build(table: type[T], accepted: Mapping[str, Value], *, prefix: str) -> T:
    kinds = _kinds(table)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(table):  # type: ignore[arg-type]  # no public type stands for dataclasses
        name = prefix + field.name
        if _ENTRY not in field.metadata:
            fields[field.name] = _build(kinds[field.name], accepted, prefix=f"{name}.")
        elif name in accepted:
            fields[field.name] = accepted[name]
    return table(**fields)


def flatten(values: Any) -> dict[str, Value]:
    """Return the values of a filled table by full name; the inverse of `build`."""
    flat: dict[str, Value] = {}
    for entry in entries(type(values)):
        value = values
        for part in entry.name.split("."):
            value = getattr(value, part)
        flat[entry.name] = value
    return flat


def add_options(parser: argparse.ArgumentParser, table: type, *, positional: str = "") -> None:
    """Give `parser` one option for each parameter of `table`; `positional` names one that needs no option."""
    for entry in entries(table):
        details: dict[str, Any] = {"dest": entry.name, "default": None, "help": _help(entry)}
        if entry.name == positional:
            parser.add_argument(entry.name, nargs="?", default=None, help=_help(entry), metavar=entry.name.upper())
            continue
        option = entry.option or "--" + entry.name.replace("_", "-").replace(".", "-")
        if entry.kind is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, **details)
        else:
            kind = {int: int, float: float}.get(entry.kind, str)
            parser.add_argument(option, type=kind, metavar=entry.unit.upper() or entry.kind_name.upper(), **details)


def options_to_values(options: argparse.Namespace, table: type) -> dict[str, Any]:
    """Return, by full name, the parameters of `table` that were given on the command line."""
    given = {entry.name: getattr(options, entry.name) for entry in entries(table)}
    return {name: value for name, value in given.items() if value is not None}


def format_value(value: Value) -> str:
    """Return a value as YAML writes it on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(format_value, value)) + "]"
    return json.dumps(value) if isinstance(value, str) else str(value)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _help(entry: Entry) -> str:
    facts = [entry.limits, f"default: {format_value(entry.default)}"]
    return f"{entry.description} ({'; '.join(filter(None, facts))})".replace("%", "%%")


assert set(get_args(Value)) == set(KIND_NAMES), "every type that a value may have needs ROS's name"
