"""YAML of users within limits: nothing that a file holds can take memory or time beyond them, or raise anything else.

PyYAML itself recurses with each bracket, copies what aliases stand for when somebody prints it, and raises ValueError
for dates and numbers that there are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from metric3d_ros.errors import DataError, Metric3DError
from metric3d_ros.files.boundary import read_text, reason_of
from metric3d_ros.files.excerpts import excerpt, shorten

T = TypeVar("T")

MOST_BYTES = 256 << 10
"""Of a file: ten times what a parameter file with every parameter of the node takes."""
MOST_LINES = 20_000
MOST_DEPTH = 32
MOST_NODES = 10_000
"""Values, keys, lists and mappings, those that aliases stand for included."""
MOST_SCALAR_LETTERS = 10_000
_MOST_BITS = 64
_MARK_LETTERS = 40


class LimitError(yaml.MarkedYAMLError):
    """A document is larger or deeper than any file that this package reads has to be."""

    def __init__(self, problem: str, mark: yaml.Mark | None = None) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class LimitedLoader(yaml.SafeLoader):
    """SafeLoader with limits; a subclass may set others for what this package writes itself."""

    most_letters = MOST_BYTES
    most_lines = MOST_LINES
    most_nodes = MOST_NODES

    def __init__(self, text: str) -> None:
        """Raise LimitError for a text that would take seconds to read, whatever it holds."""
        if len(text) > self.most_letters:
            raise LimitError(f"it has {len(text)} letters, expected at most {self.most_letters}")
        if text.count("\n") > self.most_lines:
            raise LimitError(f"it has {text.count(chr(10))} lines, expected at most {self.most_lines}")
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        self._expanded: dict[int, int] = {}
        """By a node's id, how many nodes it is with all aliases in it written out."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node if it stays within the limits."""
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML has no types for it
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        before = self._nodes
        self._count(1, mark)
        if self._depth > MOST_DEPTH:
            raise LimitError(f"lists and mappings lie more than {MOST_DEPTH} deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias:
            if id(node) not in self._expanded:
                raise LimitError("an alias stands for what it is a part of", mark)
            self._count(self._expanded[id(node)], mark)
        elif isinstance(node, yaml.ScalarNode):
            _check_letters(node.value, mark)
        if node is not None:
            self._expanded.setdefault(id(node), self._nodes - before)
        return node

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        """Begin a list or mapping in brackets; PyYAML reads up to 1,024 of them ahead, each more slowly."""
        if self.flow_level > MOST_DEPTH:
            raise LimitError(f"brackets lie more than {MOST_DEPTH} deep", self.get_mark())
        super().fetch_flow_collection_start(token_class)

    def _count(self, nodes: int, mark: yaml.Mark) -> None:
        self._nodes += nodes
        if self._nodes > self.most_nodes:
            raise LimitError(f"there are more than {self.most_nodes} values, aliases written out", mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return a node's value; what its constructor raises becomes a ConstructorError with the place."""
        try:
            value = super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # AttributeError for a date, KeyError for a bool, ...
            kind = node.tag.rpartition(":")[2]
            shown = excerpt(node.value, _MARK_LETTERS) if isinstance(node, yaml.ScalarNode) else "it"
            raise yaml.constructor.ConstructorError(
                problem=f"{shown} is no {shorten(kind, _MARK_LETTERS)}", problem_mark=node.start_mark
            ) from error
        if type(value) is int and value.bit_length() > _MOST_BITS:
            raise LimitError(
                f"a whole number has {value.bit_length()} bits, expected at most {_MOST_BITS}", node.start_mark
            )
        return value


def _check_letters(value: str, mark: yaml.Mark) -> None:
    if len(value) > MOST_SCALAR_LETTERS:
        raise LimitError(f"a value has {len(value)} letters, expected at most {MOST_SCALAR_LETTERS}", mark)
    # A path with a NUL, or half of a surrogate pair on a terminal, raises far away from here.
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise LimitError("a value has letters that no text has", mark)


def compose_documents(text: str) -> list[yaml.Node]:
    """Return the documents of a text as nodes, empty ones left out; raises yaml.YAMLError."""
    return _only_yaml_errors(
        lambda: [node for node in yaml.compose_all(text, Loader=LimitedLoader) if node is not None]
    )


def load_first_document(text: str, loader: type[LimitedLoader] = LimitedLoader) -> Any:
    """Return what the first document of a text holds, None if there is none; raises yaml.YAMLError."""
    return _only_yaml_errors(lambda: next(iter(yaml.load_all(text, Loader=loader)), None))


def _only_yaml_errors(read: Callable[[], T]) -> T:
    """Return what `read` returns. PyYAML raises ValueError too, for a letter that there is not, as "\\U00110000"."""
    try:
        return read()
    except yaml.YAMLError:
        raise
    except Exception as error:  # as the top of this file promises
        raise yaml.YAMLError(reason_of(error)) from error


def read_mapping(path: Path, *, what: str, error: type[Metric3DError] = DataError) -> Mapping[str, Any]:
    """Return the mapping that a YAML file holds; `error`, naming `what` was expected, if it holds none."""
    text = read_text(path, error=error, most_bytes=MOST_BYTES, remedy=f"expected {what} in YAML")
    try:
        content = load_first_document(text)
    except yaml.YAMLError as problem:
        raise error(
            f"{path} is no YAML that can be read ({describe_problem(problem, text)}); expected {what}"
        ) from problem
    if not isinstance(content, Mapping):
        raise error(f"{path} holds {type(content).__name__}, expected {what}: a mapping of names to values")
    return content


def describe_problem(error: Exception, text: str = "") -> str:
    """Return what is wrong with a YAML text, and where: its line and column and an excerpt of that line."""
    problem = getattr(error, "problem", None) or (str(error).splitlines() or [type(error).__name__])[0]
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return shorten(str(problem))
    line = "".join(text.split("\n")[mark.line : mark.line + 1])
    near = line[max(mark.column - _MARK_LETTERS // 2, 0) :][:_MARK_LETTERS]
    shown = f": {shorten(near, _MARK_LETTERS)!r}" if near.strip() else ""
    return f"{shorten(str(problem), 120)}, line {mark.line + 1}, column {mark.column + 1}{shown}"
