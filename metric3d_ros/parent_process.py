"""What a process does when its parent dies, even of SIGKILL, which no clean-up survives."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Ask Linux to send this process a signal when the thread that started it ends; elsewhere do nothing.

    For `preexec_fn` of a child.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)


def begin_worker(at_ctrl_c: signal.Handlers) -> None:
    """Begin a worker process, which its parent's death ends; the initializer of a pool.

    Args:
        at_ctrl_c: what Ctrl-C does, which a terminal sends to all processes: SIG_IGN leaves it to the parent, and
            SIG_DFL ends the worker at once.
    """
    signal.signal(signal.SIGINT, at_ctrl_c)
    end_with_parent(signal.SIGKILL)
