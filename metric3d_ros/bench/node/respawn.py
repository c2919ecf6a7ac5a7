"""Times the outage of depth_node after a crash: `python -m metric3d_ros.bench.node.respawn`.

Kills depth_node with SIGKILL while a camera keeps publishing, restarts it after the delay of launch files with
`respawn`, and waits for the first depth of an image that was taken after that.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from metric3d_ros.bench.node.overhead import row
from metric3d_ros.bench.node.own_domain import enter_own_domain
from metric3d_ros.command_line import require_numbers
from metric3d_ros.errors import Metric3DError
from metric3d_ros.parent_process import end_with_parent
from metric3d_ros.program import program

_SIZE_HW = (480, 640)
_RATE_HZ = 30.0
_SETTLE_S = 0.1


@dataclass(frozen=True)
class Absence:
    """How long the node was away, in milliseconds from the kill."""

    loading_ms: float
    """Until the new process began to load the model: Python and ROS 2 have started."""
    ready_ms: float
    """Until the model was loaded and had run once."""
    depth_ms: float
    """Until depth arrived here."""
    inference_ms: float
    """How long the network took for that image, which is in `depth_ms`."""


class SupervisedNode:
    """depth_node as a process that is restarted after it was killed; records the times of its log lines."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "metric3d_ros.nodes.depth_node", "--ros-args", *arguments]
        self._process: subprocess.Popen[str] | None = None
        self.said_s: dict[str, float] = {}

    def start(self) -> None:
        """Start a process, without the log lines of the last one."""
        said_s: dict[str, float] = {}
        process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        threading.Thread(target=_read, args=(process, said_s), daemon=True).start()
        self._process, self.said_s = process, said_s

    def kill(self) -> None:
        """End it as a crash or the kernel's memory killer would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait(20)


def _read(process: "subprocess.Popen[str]", said_s: dict[str, float]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        now_s = time.monotonic()
        for text in ("loading model", "ready: waiting"):
            if text in line:
                said_s[text] = now_s


def measure(*, model: str, times: int, timeout_s: float, delay_s: float) -> list[Absence]:
    """Kill, wait and restart `times` times; Metric3DError if no depth comes within `timeout_s`."""
    enter_own_domain()
    # After the environment, which both read when they are imported or initialised.
    import rclpy
    from rclpy.context import Context
    from rclpy.utilities import get_rmw_implementation_identifier

    from metric3d_ros.nodes.instruments.load_probe import LoadProbe
    from metric3d_ros.nodes.transport.large_messages import prepare_for_large_messages

    namespace = f"bench_{os.getpid()}"
    node = SupervisedNode(["-r", f"__ns:=/{namespace}", "-p", f"model:={model}"])
    node.start()
    prepare_for_large_messages(rmw_implementation=get_rmw_implementation_identifier())
    context = Context()
    rclpy.init(context=context)
    probe = LoadProbe(context, namespace=namespace, topics=["depth/image"], size_hw=_SIZE_HW)
    try:
        if not probe.connect(timeout_s=timeout_s):
            raise Metric3DError("depth_node did not answer on depth/image")
        absences = []
        for _ in range(times):
            killed_s = time.monotonic()
            node.kill()
            # Receive what the killed node had still sent.
            probe.send_unanswered(rate_hz=_RATE_HZ, seconds=max(delay_s, _SETTLE_S))
            node.start()
            arrived_s = probe.send_until_answered(rate_hz=_RATE_HZ, timeout_s=timeout_s)
            if arrived_s is None:
                raise Metric3DError(f"no depth came in {timeout_s:g} s after depth_node had been killed and restarted")
            moments_s = (node.said_s["loading model"], node.said_s["ready: waiting"], arrived_s)
            loading_ms, ready_ms, depth_ms = ((moment_s - killed_s) * 1e3 for moment_s in moments_s)
            probe.listen(seconds=0.5)  # the times of that image come after it
            inference_ms = probe.measured.stages_ms["infer_ms"][0]
            absences.append(Absence(loading_ms, ready_ms, depth_ms, inference_ms))
    finally:
        probe.close()
        rclpy.shutdown(context=context)
        node.stop()
    return absences


@program("respawn: error")
def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m metric3d_ros.bench.node.respawn", description=__doc__)
    parser.add_argument("--model", default="demo", help="an ONNX file, a name such as vit_small, or 'demo' (default)")
    parser.add_argument("--times", type=int, default=5, help="how often it is killed (default: 5)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for depth (default: 120)")
    parser.add_argument("--delay", type=float, default=2.0, help="seconds until it is started again (default: 2)")
    options = parser.parse_args(argv)
    require_numbers(options, "times", least=1)
    require_numbers(options, "timeout", above=0, unit="seconds")
    require_numbers(options, "delay", least=0, unit="seconds")
    absences = measure(model=options.model, times=options.times, timeout_s=options.timeout, delay_s=options.delay)
    print(f"from kill -9, with the model {options.model}, 640x480 at 30 Hz, started again after {options.delay:g} s")
    print(row("until Python and ROS 2 have started", [each.loading_ms for each in absences]))
    print(row("until the model has run once", [each.ready_ms for each in absences]))
    print(row("until depth arrives", [each.depth_ms for each in absences]))
    print(row("of that, the first image's inference", [each.inference_ms for each in absences]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
