"""Whatever a library raises about a file of a user becomes one error of this package, in one line."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from metric3d_ros.errors import Metric3DError
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.files.remote import is_remote
from metric3d_ros.out_of_memory import is_out_of_memory

MOST_TEXT_BYTES = 1 << 20
"""Of a JSON, XML or INI file: a hundred times what a calibration or a parameter file of every node takes."""


@contextlib.contextmanager
def one_line_about(
    path: Path | str,
    error: type[Metric3DError],
    *,
    what: str,
    remedy: str,
    passing: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Read a file in this context: whatever is raised about it becomes one `error`.

    A damaged file can make a library raise anything, from KeyError to RecursionError and MemoryError.

    Args:
        path: the file, which the message names.
        error: the class to raise. An error of this package passes as it is.
        what: what the file should be, as in "is no readable NumPy file".
        remedy: ends the message.
        passing: what is raised as it is, for the caller.
    """
    try:
        yield
    except passing:
        raise
    except Metric3DError:
        raise
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or shorten(str(problem))}; {remedy}") from problem
    except Exception as problem:  # whatever a damaged file makes of a library
        if is_out_of_memory(problem):
            raise error(
                f"reading {path} as {what} takes more memory than there is ({reason_of(problem)}): {remedy}, or, if "
                "the file is whole, use a computer with more memory"
            ) from problem
        raise error(f"{path} is no readable {what} ({reason_of(problem)}): {remedy}") from problem


def is_readable(path: Path) -> bool:
    """Return whether a path is a file that this user can read; never raises, whatever the path."""
    try:
        return os.path.isfile(path) and os.access(path, os.R_OK)
    except (OSError, ValueError):
        return False


def reason_of(problem: object) -> str:
    """Return the first line of what a library raised, or the exception's name if it has no words."""
    lines = str(problem).strip().splitlines()
    return shorten(lines[0]) if lines else type(problem).__name__


def read_bytes(path: Path, *, most_bytes: int, error: type[Metric3DError], remedy: str, what: str = "") -> bytes:
    """Return a file's content; `error` if it is no file, cannot be read or is larger than `most_bytes`.

    `what` stands before the file's name in messages, as in "parameter file".
    """
    named = f"{what} {path}".lstrip()
    with one_line_about(named, error, what="file", remedy=remedy):
        if is_remote(path):
            with path.open("rb") as remote:
                data = remote.read(most_bytes + 1)
            if len(data) > most_bytes:
                raise error(f"{named} has over {most_bytes} bytes, which are too many: {remedy}")
            return data
        # Without O_NONBLOCK a pipe would make this wait for ever.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISCHR(status.st_mode)):  # /dev/null is as good as any
                raise error(f"{named} is no file: {remedy}")
            data = file.read(most_bytes + 1) if status.st_size <= most_bytes else b""
        size = max(status.st_size, len(data))
        if size > most_bytes:
            raise error(f"{named} has {size} bytes, expected at most {most_bytes}: {remedy}")
        return data


def read_lines(
    path: Path, *, most_bytes: int, most_line_bytes: int, error: type[Metric3DError], remedy: str, what: str
) -> Iterator[tuple[int, bytes]]:
    """Yield a file's lines with their numbers and ends; `error` as `read_bytes` raises it, or for a line too long."""
    named = f"{what} {path}"
    with (
        one_line_about(named, error, what="file", remedy=remedy),
        open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file,
    ):
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{named} is no file: {remedy}")
        if status.st_size > most_bytes:
            raise error(f"{named} has {status.st_size} bytes, expected at most {most_bytes}: {remedy}")
        for number, line in enumerate(iter(lambda: file.readline(most_line_bytes + 1), b""), start=1):
            if len(line) > most_line_bytes:
                raise error(f"{named}: line {number} has over {most_line_bytes} bytes, which no line has: {remedy}")
            yield number, line


def read_end(file: BinaryIO, *, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """Return the end of an open text file, such as a log, as far as it has at most `most_bytes`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - most_bytes))
    return file.read(most_bytes).decode("utf-8", errors="replace")


def read_text(
    path: Path, *, error: type[Metric3DError], remedy: str, most_bytes: int = MOST_TEXT_BYTES, what: str = ""
) -> str:
    """Return the content of a UTF-8 text file, without a byte order mark; `error` as `read_bytes` raises it."""
    data = read_bytes(path, most_bytes=most_bytes, error=error, remedy=remedy, what=what)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        named = f"{what} {path}".lstrip()
        raise error(f"{named} is no text that can be read ({problem.reason}); {remedy}") from problem
