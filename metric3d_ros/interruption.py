"""What SIGINT, SIGTERM and SIGHUP do to this package's programs before and while they work: no traceback, 0 or 130.

Imported before anything else, so that a signal during imports, which take seconds, finds a handler. Hence it imports
next to nothing itself: signal.py takes milliseconds, and the C module under it none.
"""

import _signal
import atexit
import os
import sys
from types import TracebackType

INTERRUPTED = 130
"""The exit code of a program that a signal ended before its work was done, as shells have it."""

_NODES = ("depth_node", "image_player", "view")
_SIGNALS = (_signal.SIGINT, _signal.SIGTERM, *([_signal.SIGHUP] if hasattr(_signal, "SIGHUP") else []))
_ALWAYS = (_signal.SIGINT, _signal.SIGTERM)
_NODE_PROGRAMS = {f"{before}{node}" for node in _NODES for before in ("", "metric3d_", "metric3d_ros.nodes.")}
_PROGRAMS = {"metric3d", "metric3d_ros.cli", "metric3d_ros.demo", "metric3d_export"} | _NODE_PROGRAMS


class Interruptible:
    """Inside it, signals that end a program raise KeyboardInterrupt, so that work is cleaned up; later ones end it.

    Libraries in C turn KeyboardInterrupt into errors of their own, such as an import that failed. Whatever comes out
    after a signal is KeyboardInterrupt. Nothing inside needs handlers of its own.
    """

    interrupted = False
    """Whether a signal came since the last one began, whatever became of its KeyboardInterrupt."""

    def __enter__(self) -> None:
        Interruptible.interrupted = False
        for number in _SIGNALS:
            if _is_ours(number):
                _signal.signal(number, _interrupt)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        _exit_at_signals(INTERRUPTED)
        if error is not None and self.interrupted:
            raise KeyboardInterrupt from error


def ending_signals() -> tuple[int, ...]:
    """Return the signals that ask a program to end; without SIGHUP under nohup."""
    return tuple(each for each in _SIGNALS if each in _ALWAYS or _signal.getsignal(each) != _signal.SIG_IGN)


def _program() -> str:
    """Return which of this package's programs the process runs, as a command or module; "" if none.

    The command line as the interpreter got it, because `sys.argv` names no module yet. A process of multiprocessing is
    none, although its `sys.argv` is that of its parent.
    """
    words = sys.orig_argv[1:]
    while words and words[0].startswith("-") and words[0] not in ("-m", "-c", "-"):
        takes_value = words[0] in ("-X", "-W")
        words = words[2 if takes_value else 1 :]
    if words[:1] == ["-m"]:
        words = words[1:]
    name = os.path.basename(words[0]).removesuffix(".py") if words else ""
    return name if name in _PROGRAMS else ""


def _is_ours(number: int) -> bool:
    """Return whether nobody has chosen what a signal does: not the shell that ignores it, nor the program around."""
    return _signal.getsignal(number) in (_signal.SIG_DFL, _signal.default_int_handler, _exit, _exit_well, _interrupt)


def _exit(*_: object) -> None:
    os._exit(INTERRUPTED)


def _exit_well(*_: object) -> None:
    os._exit(0)


def _interrupt(*_: object) -> None:
    Interruptible.interrupted = True
    raise KeyboardInterrupt


def _exit_at_signals(code: int) -> None:
    for number in _SIGNALS:
        if _is_ours(number):
            _signal.signal(number, _exit if code else _exit_well)


def _ignore_signals() -> None:
    """Let the interpreter take itself apart: it drops handlers early on, and a signal would be the exit code."""
    for number in _SIGNALS:
        if _is_ours(number):
            _signal.signal(number, _signal.SIG_IGN)


if _program():
    atexit.register(_ignore_signals)
    # A node that is asked to end, ends well.
    _exit_at_signals(0 if _program() in _NODE_PROGRAMS else INTERRUPTED)
