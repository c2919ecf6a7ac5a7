"""A command-line program: what it raises becomes one line and an exit status; its parent process reads that line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from metric3d_ros.errors import Metric3DError
from metric3d_ros.files.excerpts import printable
from metric3d_ros.interruption import INTERRUPTED
from metric3d_ros.out_of_memory import is_out_of_memory

OUTPUT_CLOSED = 141
"""The exit status of a program whose output nobody reads any more, as `head` ends; shells have it for SIGPIPE."""

P = ParamSpec("P")


def program(name: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate the main function of a program, which returns its exit status: 0 if all went well.

    A failure that a user can cause or mend becomes one line on standard error and status 1; an interruption 130; output
    that nobody reads any more 141. What argparse raises passes, and so does a defect, with its traceback.

    Args:
        name: begins that line, as in "metric3d run"; "" for a child process whose parent names it.
    """

    def decorate(work: Callable[P, int]) -> Callable[P, int]:
        @wraps(work)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            try:
                status = work(*args, **kwargs)
                if sys.stdout is not None:  # as it is if the shell closed it
                    sys.stdout.flush()
                return status
            except Metric3DError as error:
                _print_reason(name, str(error))
                return 1
            except KeyboardInterrupt:
                _print_reason(name, "interrupted")
                return INTERRUPTED
            except BrokenPipeError:
                _leave_output()
                return OUTPUT_CLOSED
            except Exception as error:  # libraries have classes of their own for too little memory
                reason = _mendable(error)
                if reason is None:
                    raise
                _print_reason(name, reason)
                _leave_output()
                return 1

        return run

    return decorate


def describe_failure(status: int, output: str) -> str:
    """Return in one line why a process failed, from its exit status and what it wrote to standard error."""
    how = f"it was ended by signal {-status}" if status < 0 else f"it ended with {status}"
    last = read_reason(output)
    return f"{how}: {last}" if last and status < 0 else last or how


def read_reason(output: str) -> str:
    """Return the line with the reason, of what a process wrote before it failed; "" if there is none.

    It is the last one that names an exception, as hints may follow it, or else the last one at all.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b: .", line)]
    return (named or lines or [""])[-1]


def _mendable(error: Exception) -> str | None:
    """Return what is wrong with the computer or a path, and the remedy; None for a defect of this package."""
    if is_out_of_memory(error):
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"out of memory ({reason}): use smaller images or a computer with more memory"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error}: check the path, its permissions, and the room on the disk"
    return None


def _print_reason(name: str, reason: str) -> None:
    print(f"{name}: {printable(reason)}" if name else printable(reason), file=sys.stderr)


def _leave_output() -> None:
    """Leave alone what cannot be written, or the interpreter would try it again at its end, with a traceback."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
