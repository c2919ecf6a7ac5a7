"""A node as a process of its own, for programs that measure it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from metric3d_ros.parent_process import end_with_parent

DEPTH_NODE = "metric3d_ros.nodes.depth_node"
_ENDS_WITHIN_S = 20.0


@contextlib.contextmanager
def running_node(
    arguments: Sequence[str], *, module: str = DEPTH_NODE, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a node, which logs warnings alone, until the context ends or this process dies.

    It is killed if it does not end within 20 s.

    Args:
        arguments: of ROS, such as "-p", "model:=demo".
        module: the program.
        environment: of the process; None for this one's.
    """
    command = [sys.executable, "-m", module, "--ros-args", "--log-level", "warn", *arguments]
    process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=end_with_parent)
    try:
        yield process
    finally:
        if process.poll() is None:  # else it has ended by itself, and an error about that must not hide why
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
