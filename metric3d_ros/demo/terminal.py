"""The demo's output on the terminal: a status line, and small pictures if the terminal supports colours."""

import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import TextIO

import cv2
import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]

_BAR_CELLS = 24
_LINE_EVERY_S = 5.0  # where the output is no terminal, such as a CI log
_REDRAW_S = 0.1
_MAX_PICTURE_ROWS = 16
_RESET = "\x1b[0m"


class LiveView:
    """Shows progress in place on a terminal, and as a line now and then elsewhere."""

    def __init__(self, *, stream: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
        """Write to `stream`; None for standard output, as it is now and not when this module was imported."""
        self._stream = stream or sys.stdout
        self._in_place = self._stream.isatty() and environment.get("TERM") != "dumb"
        self._colours = self._in_place and "NO_COLOR" not in environment and _shows_colours(environment)
        self._shown_s = 0.0
        self._drawn_rows = 0

    def print_line(self, text: str) -> None:
        """Print a line that stays, in place of the status line."""
        self.clear()
        print(text, file=self._stream, flush=True)

    def progress(self, what: str, done: int, total: int, *, detail: str = "") -> None:
        """Show a bar with `what`, `done` of `total`, and a detail behind it."""
        if self._is_due(done == total):
            self._draw([format_bar(what, done, total, detail)])

    def waiting(self, text: str, seconds: float) -> None:
        """Show what the demo waits for, and for how long so far."""
        if self._is_due(False):
            self._draw([f"{text} {seconds:.0f} s"])

    def frame(self, pictures: list[RgbImage], what: str, done: int, total: int, *, detail: str = "") -> None:
        """Show pictures (H, W, 3) of one size side by side where the terminal can, with a progress bar below."""
        if not self._is_due(done == total):
            return
        lines = []
        if self._colours:
            columns, rows = shutil.get_terminal_size()
            lines = blocks(pictures, columns=columns - 1, rows=min(_MAX_PICTURE_ROWS, rows - 3))
        self._draw([*lines, format_bar(what, done, total, detail)])

    def clear(self) -> None:
        """Remove the status from the terminal."""
        if self._drawn_rows:
            self._stream.write(f"\x1b[{self._drawn_rows}F\x1b[J")
            self._stream.flush()
            self._drawn_rows = 0

    def _is_due(self, last: bool) -> bool:
        now_s = time.monotonic()
        if not last and now_s - self._shown_s < (_REDRAW_S if self._in_place else _LINE_EVERY_S):
            return False
        self._shown_s = now_s
        return True

    def _draw(self, lines: list[str]) -> None:
        if not self._in_place:
            print(lines[-1], file=self._stream, flush=True)
            return
        columns = shutil.get_terminal_size().columns
        home = f"\x1b[{self._drawn_rows}F\x1b[J" if self._drawn_rows else ""
        lines[-1] = lines[-1][: columns - 1]
        self._stream.write(home + "\n".join(lines) + "\n")
        self._stream.flush()
        self._drawn_rows = len(lines)


def format_bar(what: str, done: int, total: int, detail: str) -> str:
    """Return one line such as "frames  3/10 [#####-------] 5.1 a second"."""
    cells = _BAR_CELLS * done // max(total, 1)
    digits = len(str(total))
    return f"{what} {done:>{digits}}/{total} [{'#' * cells}{'-' * (_BAR_CELLS - cells)}] {detail}".rstrip()


def blocks(pictures: list[RgbImage], *, columns: int, rows: int) -> list[str]:
    """Return pictures (H, W, 3) side by side as lines of coloured half blocks, two pixels to a character.

    They are scaled to fit `columns` x `rows` characters; no lines when there is no room for 4 rows.
    """
    height, width = pictures[0].shape[:2]
    each = (columns - len(pictures) + 1) // len(pictures)
    rows = min(rows, max(1, round(each * height / width / 2)))
    if rows < 4:
        return []
    cells = min(each, round(2 * rows * width / height))
    gap = np.zeros((2 * rows, 1, 3), np.uint8)
    strip: list[RgbImage] = []
    for picture in pictures:
        strip += [gap] * bool(strip)
        strip.append(np.asarray(cv2.resize(picture, (cells, 2 * rows), interpolation=cv2.INTER_AREA), np.uint8))
    pixels = np.concatenate(strip, axis=1)
    return ["".join(_cell(top, bottom) for top, bottom in zip(*pair, strict=True)) + _RESET for pair in _pairs(pixels)]


def _pairs(pixels: RgbImage) -> list[tuple[list[list[int]], list[list[int]]]]:
    return list(zip(pixels[0::2].tolist(), pixels[1::2].tolist(), strict=True))


def _cell(top: list[int], bottom: list[int]) -> str:
    fore, back = ";".join(map(str, top)), ";".join(map(str, bottom))
    return f"\x1b[38;2;{fore};48;2;{back}m▀"


def _shows_colours(environment: Mapping[str, str]) -> bool:
    """Whether the terminal supports 24-bit colours, by the environment variable COLORTERM."""
    return environment.get("COLORTERM", "").lower() in {"truecolor", "24bit"}
