"""Child processes that always end with this one: started with a log file, watched, and stopped together."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metric3d_ros.errors import Metric3DError
from metric3d_ros.files.boundary import read_end
from metric3d_ros.interruption import ending_signals
from metric3d_ros.parent_process import end_with_parent

_STOP_STEPS = ((signal.SIGINT, 5.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))
_TAIL_LINES = 15


class ChildError(Metric3DError):
    """A child process failed to start, ended too early, or fell silent; the message ends in its log's last lines."""


@dataclass
class Child:
    """A running process; `name` is what messages call it."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def failure(self, what: str) -> ChildError:
        """Return the error that `what` happened to this process, with the end of its log."""
        return ChildError(f"{self.name} {what}; its log ({self.log}) ends:\n{read_tail(self.log)}")

    def check(self) -> None:
        """Raise ChildError if the process has ended with an error."""
        if self.exit_code:
            raise self.failure(f"ended with exit code {self.exit_code}")


@contextlib.contextmanager
def running_children() -> Iterator[list[Child]]:
    """Yield a list for started children; all of them are stopped at the end, also after an error."""
    children: list[Child] = []
    try:
        yield children
    finally:
        stop_children(children)


def start_module(module: str, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Child:
    """Start `python -m module arguments` in a session of its own, so that Ctrl-C reaches this process alone.

    Standard output and error go to `log`. `environment` is added to this process's own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    return Child(module.rpartition(".")[2], process, log)


def stop_children(children: Sequence[Child]) -> None:
    """End every child: SIGINT first, as ROS nodes expect, then harder; returns once all have ended."""
    # A second Ctrl-C, of an impatient user, must not leave a process behind.
    before = {ending: signal.signal(ending, signal.SIG_IGN) for ending in ending_signals()}
    try:
        for number, patience_s in _STOP_STEPS:
            alive = [child for child in children if child.exit_code is None]
            for child in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid, number)
            deadline = time.monotonic() + patience_s
            for child in alive:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


def read_tail(log: Path, *, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, indented; a remark if it is empty or missing."""
    try:
        with log.open("rb") as file:
            text = read_end(file)
    except OSError as error:
        return f"  (cannot be read: {error.strerror})"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (it is empty)"
