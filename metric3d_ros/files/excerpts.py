"""Excerpts of values from files, for messages: short, printable and on one line, whatever the file holds."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any

MOST_LETTERS = 80
_MOST_ITEMS = 8


class _Repr(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 6
        self.maxstring = self.maxother = self.maxlong = MOST_LETTERS

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # Python refuses to write out so many digits
            return f"a whole number of {x.bit_length()} bits"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """Return the first items in their own order; reprlib would sort all of them first."""
        if level <= 0 or not x:
            return "{...}" if x else "{}"
        items = [f"{self.repr1(k, level - 1)}: {self.repr1(x[k], level - 1)}" for k in list(x)[: self.maxdict]]
        return "{" + ", ".join(items) + (", ..." if len(x) > self.maxdict else "") + "}"


def excerpt(value: object, most: int = MOST_LETTERS) -> str:
    """Return `value` as Python writes it, cut to `most` letters, on one line."""
    return shorten(_Repr().repr(value), most)


def shorten(text: str, most: int = 200) -> str:
    """Return text on one line of at most `most` letters, with a ? for each that cannot be printed."""
    line = " ".join(text[: 4 * most].split())
    shown = line if len(line) <= most and len(text) <= 4 * most else line[: most - 3] + "..."
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def some(names: Iterable[object]) -> str:
    """Return names with commas between them, the first few if there are many."""
    names = list(names)
    shown = ", ".join(shorten(str(name), MOST_LETTERS) for name in names[:_MOST_ITEMS])
    return shown + (f" and {len(names) - _MOST_ITEMS} more" if len(names) > _MOST_ITEMS else "")


def printable(text: str) -> str:
    """Return text with a ? for each letter that cannot be printed, and lines after the first one indented.

    So text of others, such as a frame_id, cannot look like a line of the log, nor change what a terminal shows.
    """
    if text.isprintable():
        return text
    lines = text.expandtabs(4).split("\n")
    return "\n    ".join("".join(letter if letter.isprintable() else "?" for letter in line) for line in lines)
