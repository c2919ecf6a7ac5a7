"""What a long wait for a model consists of, told to people: on a terminal, in a node's log and in /diagnostics."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

Report = Callable[[str, "float | None"], object]
"""Takes what is being done, and what share of it is done (0 to 1; None if that is not known)."""

_EVERY_S = 10.0


def describe_step(text: str, share: float | None) -> str:
    """Return a step in one line, such as "downloading vit_small, 43 %"."""
    return text if share is None else f"{text}, {100 * share:.0f} %"


class StepLog:
    """Writes a line for each new step, and one each ten seconds while it lasts."""

    def __init__(self, write: Callable[[str], object]) -> None:
        """Write with `write`, which takes a line."""
        self._write = write
        self._text = ""
        self._written_s = 0.0

    def __call__(self, text: str, share: float | None) -> None:
        """Take a step."""
        now_s = time.monotonic()
        if text != self._text or now_s - self._written_s >= _EVERY_S:
            self._text, self._written_s = text, now_s
            self._write(describe_step(text, share))


class StepLine:
    """Writes a line for each step to a terminal; the share of the one that is under way changes in place."""

    def __init__(self, out: TextIO) -> None:
        """Write to `out`, which knows the control sequence that clears a line."""
        self._out = out
        self._line = self._text = ""
        self._is_open = False

    def __call__(self, text: str, share: float | None) -> None:
        """Take a step."""
        line = describe_step(text, share)
        if line == self._line and text == self._text:
            return
        before = ("\r\x1b[K" if text == self._text else "\n") if self._is_open else ""
        self._line, self._text, self._is_open = line, text, share is not None and share < 1
        print(before + line, end="" if self._is_open else "\n", file=self._out, flush=True)


def tell_terminal() -> Report:
    """Return what writes steps to standard error."""
    if sys.stderr.isatty():
        return StepLine(sys.stderr)
    return StepLog(lambda line: print(line, file=sys.stderr, flush=True))
