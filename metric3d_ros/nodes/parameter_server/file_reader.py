"""Reads ROS 2 parameter files entry by entry, and writes them again without what makes ROS 2 refuse a whole file."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.boundary import one_line_about
from metric3d_ros.files.boundary import read_text as read_limited_text
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.files.yaml_text import (
    MOST_BYTES,
    LimitError,
    compose_documents,
    describe_problem,
    load_first_document,
)

_PARAMETERS = "ros__parameters"
_YAML_ERRORS = (yaml.YAMLError,)
_REMEDY = "name a YAML file after --params-file"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_STR = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_RESOLVER = yaml.resolver.Resolver()
_SOMETHING = yaml.ScalarNode(_INT, "1")

SEVERAL_TYPES = "ROS 2 has no lists of several types"
"""Why a list such as [front, 2] is refused."""


@dataclass(frozen=True)
class Setting:
    """One value for one parameter of the nodes that `section` names."""

    section: str
    """A node's full name or a pattern, such as /front/depth_node, /** or /**/depth_node."""
    name: str
    text: str
    """The value as YAML on one line."""
    source: str
    """The file that it is from, or the words of the command line."""
    refusal: str = ""
    """Why ROS 2 does not take it; "" if it does."""
    is_argument: bool = False
    """It is from the command line itself."""


@dataclass
class ParameterFile:
    """What a file holds: sections for nodes, and settings in them."""

    path: Path
    sections: list[str] = field(default_factory=list)
    """As they are written, without those that hold nothing."""
    settings: list[Setting] = field(default_factory=list)
    is_understood: bool = True
    """Whether it could be read here: ROS 2 reads YAML with another library."""
    strays: list[tuple[str, str]] = field(default_factory=list)
    """Above each value without `ros__parameters` the key, "" at the top, and the value's own name."""
    cleaned: str | None = None
    """The text without settings that ROS 2 does not take; None if the file can be left as it is."""


Accepts = Callable[[str], bool]
"""Tells whether ROS 2 takes a parameter file with this text."""


def read_parameter_file(path: Path, *, is_accepted: bool, accepts: Accepts) -> ParameterFile:
    """Return what a parameter file holds; `is_accepted` tells whether ROS 2 takes it as it is.

    Raises ConfigurationError for a file that cannot be read or is no YAML.
    """
    text = read_text(path)
    try:
        with one_line_about(
            f"parameter file {path}", ConfigurationError, what="YAML", remedy=_REMEDY, passing=_YAML_ERRORS
        ):
            return _read_sections(path, text, is_accepted=is_accepted, accepts=accepts)
    except yaml.YAMLError as error:
        if is_accepted and not isinstance(error, LimitError):
            return ParameterFile(path, is_understood=False)
        raise ConfigurationError(
            f"parameter file {path} is no YAML ({describe_problem(error, text)}): expected /**: with ros__parameters: "
            "below it"
        ) from error


def _read_sections(path: Path, text: str, *, is_accepted: bool, accepts: Accepts) -> ParameterFile:
    entries = [entry for document in compose_documents(text) for entry in _sections(document, ())]
    found = ParameterFile(path)
    needs_cleaning = not is_accepted
    kept: list[tuple[str, str, yaml.Node]] = []
    for keys, node in entries:
        if _PARAMETERS not in keys:
            found.strays.append(("/".join(keys[:-1]), keys[-1]))
            continue
        written, section = "/".join(keys[:-1]), "/" + "/".join(keys[:-1]).lstrip("/")
        values = list(_parameters(node, ""))
        if values and written not in found.sections:
            found.sections.append(written)
        for name, value in values:
            repaired = _of_one_type(value)
            refusal = _refusal(value) or ("" if is_accepted else _trial(section, name, repaired, accepts))
            needs_cleaning |= bool(refusal)
            found.settings.append(Setting(section, name, _one_line(value), str(path), refusal))
            if not refusal:
                kept.append((section, name, repaired))
    if needs_cleaning:
        found.cleaned = "".join(_write(*each) for each in kept)
    return found


def read_text(path: Path) -> str:
    """Return what stands in a parameter file; ConfigurationError if it cannot be read, is too large or is no text."""
    return read_limited_text(
        path,
        error=ConfigurationError,
        most_bytes=MOST_BYTES,
        what="parameter file",
        remedy=_REMEDY,
    )


def refused_value(text: str) -> str:
    """Return why ROS 2 takes no parameter with this YAML text; "" if nothing is known against it."""
    try:
        node = _compose(text)
    except LimitError as error:
        return describe_problem(error)
    except yaml.YAMLError:
        return ""
    return _refusal(node) if node is not None else "it has no value"


def with_items_of_one_type(text: str) -> str:
    """Return YAML for one value such that a list of whole and other numbers is one of numbers with a point."""
    try:
        node = _compose(text)
    except yaml.YAMLError:
        return text
    repaired = node if node is None else _of_one_type(node)
    return text if repaired is node or repaired is None else _one_line(repaired)


def with_words_in_quotes(text: str) -> str:
    """Return YAML for a list such that each of its items is a string, even if it resembles a number."""
    items = getattr(_compose(text), "value", [])
    return "[" + ", ".join(f'"{item.value}"' for item in items) + "]"


def _compose(text: str) -> yaml.Node | None:
    return next(iter(compose_documents(text)), None)


def _sections(node: yaml.Node, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """Yield each `ros__parameters`, and each value that has none above it, with the keys that lead there."""
    if not isinstance(node, yaml.MappingNode):
        raise yaml.YAMLError(f"{shorten(_one_line(node), 60)!r} in the place of a node's name")
    for key, value in _pairs(node):
        if key == _PARAMETERS or not isinstance(value, yaml.MappingNode):
            yield (*keys, key), value
        else:
            yield from _sections(value, (*keys, key))


def _parameters(node: yaml.Node, prefix: str) -> Iterator[tuple[str, yaml.Node]]:
    """Yield each parameter by its full name, such as depth.max_m; none for what is empty."""
    if isinstance(node, yaml.MappingNode):
        for key, value in _pairs(node):
            if isinstance(value, yaml.MappingNode):
                yield from _parameters(value, f"{prefix}{key}.")
            else:
                yield prefix + key, value


def _pairs(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    if any(key.tag == _MERGE for key, _ in node.value):
        node = copy.deepcopy(node)
        yaml.constructor.SafeConstructor().flatten_mapping(node)
    for key, value in node.value:
        yield str(key.value), value


def _refusal(node: yaml.Node) -> str:
    """Return what is known to be wrong: rclpy gives up on an empty list, and makes nonsense of mappings in lists."""
    if isinstance(node, yaml.SequenceNode):
        if not node.value:
            return "ROS 2 cannot tell the type of an empty list"
        if not all(isinstance(item, yaml.ScalarNode) for item in node.value):
            return "ROS 2 has no lists of lists or of mappings"
    return "" if not isinstance(node, yaml.MappingNode) else "it is a mapping"


def _trial(section: str, name: str, value: yaml.Node, accepts: Accepts) -> str:
    """Return why ROS 2 does not take a setting when it is alone in a file; "" if it does."""
    if accepts(_write(section, name, value)):
        return ""
    if not accepts(_write(section, name, _SOMETHING)):
        return "ROS 2 takes no such name of a node or of a parameter"
    if isinstance(value, yaml.SequenceNode):
        return SEVERAL_TYPES
    return "it has no value" if not value.value else "ROS 2 does not take it"


def _of_one_type(node: yaml.Node) -> yaml.Node:
    """Return a list of whole and other numbers as one of numbers with a point, which ROS 2 takes."""
    if not isinstance(node, yaml.SequenceNode) or {item.tag for item in node.value} != {_INT, _FLOAT}:
        return node
    try:
        items = [
            yaml.ScalarNode(_FLOAT, repr(float(load_first_document(item.value)))) if item.tag == _INT else item
            for item in node.value
        ]
    except (yaml.YAMLError, TypeError, ValueError):
        return node  # `!!int zz`, or more digits than any number has
    return yaml.SequenceNode(node.tag, items, flow_style=True)


def _write(section: str, name: str, value: yaml.Node) -> str:
    """Return a section with one setting. ROS 2 adds up sections of one name, and takes dots in a name for levels."""
    return f"{_quoted(section)}:\n  {_PARAMETERS}:\n    {_quoted(name)}: {_one_line(value)}\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _one_line(node: yaml.Node) -> str:
    """Return a value as YAML on one line, as it was written: quotes decide about its type."""
    if isinstance(node, yaml.SequenceNode):
        return "[" + ", ".join(_one_line(item) for item in node.value) + "]"
    if isinstance(node, yaml.MappingNode):
        return "{" + ", ".join(f"{key}: {_one_line(value)}" for key, value in _pairs(node)) + "}"
    text = str(node.value)
    is_tagged = node.tag == _STR and _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) != _STR
    if getattr(node, "style", None) or is_tagged or set(text) & set(",[]{}\n"):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"'
    return text
