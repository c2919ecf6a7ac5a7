"""Starts nodes as real processes for tests and listens to what they publish, on a ROS domain of their own."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy

from metric3d_ros.installed_files import shared_file

START_TIMEOUT_S = 60.0


def worker_domains(worker: int, workers: int) -> list[int]:
    """Return the ROS domains of one of pytest-xdist's workers, in random order; no two workers share one.

    ROS's port formula leaves the domains up to 101 (0 aside) free of the ports that Linux gives to other programs.
    """
    mine = range(1 + worker, 101, workers)
    return random.SystemRandom().sample(mine, len(mine))


_DOMAINS = itertools.cycle(
    worker_domains(
        int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")),
        int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
    )
)
"""The domain that rested longest comes next, when its processes have long ended."""

_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
for _variable in _PROFILE_VARIABLES:
    os.environ.setdefault(_variable, str(shared_file("config/fastdds.xml")))
"""The tests' own process finds others as fast as they find each other, and large messages fit."""

RELIABLE = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)


def next_domain() -> int:
    """Return a domain that no other test is using."""
    return next(_DOMAINS)


def ros_environment(folder: Path, domain: int, **more: str) -> dict[str, str]:
    """Return an environment for a ROS process that talks to this machine only and logs into `folder`."""
    ours = {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(folder),
        "ROS_PYTHON_CHECK_FIELDS": "1",
        "RCUTILS_COLORIZED_OUTPUT": "0",
        "OMP_NUM_THREADS": "1",
    }
    return {k: v for k, v in os.environ.items() if k not in _PROFILE_VARIABLES} | ours | more


def are_matched(publishers: Iterable[Any]) -> bool:
    """Return whether each publisher has a subscriber."""
    return all(publisher.get_subscription_count() for publisher in publishers)


def enter_environment(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    """Let nodes in this process use the domain and the log folder of `ros_environment`; its memory stays as it is."""
    for name in ("ROS_DOMAIN_ID", "ROS_LOG_DIR", "ROS_AUTOMATIC_DISCOVERY_RANGE", "RCUTILS_COLORIZED_OUTPUT"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.setenv("METRIC3D_KEEP_BUFFERS", "0")


class RosProcess:
    """A process in a session of its own, so that it can be sent signals as a terminal would send them."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            arguments,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._lines.append(line.rstrip())
                self._changed.notify_all()

    @property
    def lines(self) -> list[str]:
        """What it has printed so far."""
        with self._changed:
            return list(self._lines)

    def wait_for(self, text: str, *, timeout_s: float = START_TIMEOUT_S, after: int = 0) -> str:
        """Wait until a line after the first `after` ones holds `text`; return it."""

        def found() -> str | None:
            return next((line for line in self._lines[after:] if text in line), None)

        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while found() is None and time.monotonic() < deadline_s and self._process.poll() is None:
                self._changed.wait(0.1)
        self._process.poll() is not None and self._reader.join(5)
        line = found()
        assert line is not None, f"no line with {text!r} in {timeout_s:g} s; there is:\n" + "\n".join(self.lines)
        return line

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children, as Ctrl-C does."""
        os.killpg(self.pid, number)

    def wait(self, *, timeout_s: float = START_TIMEOUT_S) -> int:
        """Wait for the end; return the exit code."""
        code = self._process.wait(timeout_s)
        self._reader.join(5)
        return code

    def close(self) -> None:
        """End it, by force if need be."""
        if self._process.poll() is None:
            self.signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self._process.wait(10)


@contextmanager
def running_node(name: str, *arguments: str, environment: Mapping[str, str]) -> Iterator[RosProcess]:
    """Run metric3d_ros.nodes.`name` with the Python of the tests."""
    process = RosProcess([sys.executable, "-m", f"metric3d_ros.nodes.{name}", *arguments], environment)
    try:
        yield process
    finally:
        process.close()


def parameters(**values: Any) -> list[str]:
    """Return the command line that sets these parameters; double underscores stand for dots."""
    arguments = ["--ros-args"]
    for name, value in values.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["-p", f"{name.replace('__', '.')}:={text}"]
    return arguments


class TestBench:
    """A ROS node inside the test's own process."""

    __test__ = False

    def __init__(self, domain: int, *, name: str = "test_bench") -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node(name, context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)

    def listen(self, message_type: Any, topic: str, qos: QoSProfile = RELIABLE) -> list[Any]:
        """Subscribe; the returned list grows as messages come."""
        messages: list[Any] = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def advertise(self, message_type: Any, topic: str, qos: QoSProfile = RELIABLE) -> Any:
        """Return a publisher."""
        return self.node.create_publisher(message_type, topic, qos)

    def call(self, service_type: Any, name: str, request: Any, *, timeout_s: float = 20.0) -> Any:
        """Call a service and return its response."""
        client = self.node.create_client(service_type, name)
        try:
            assert self.spin_until(client.service_is_ready, timeout_s=timeout_s), f"nobody offers {name}"
            future = client.call_async(request)
            assert self.spin_until(future.done, timeout_s=timeout_s), f"{name} did not answer"
            return future.result()
        finally:
            self.node.destroy_client(client)

    def set_parameters(self, node_name: str, **values: Any) -> list[Any]:
        """Set parameters of a node as `ros2 param set` does, in one call; return the results. __ stands for a dot."""
        given = [Parameter(name.replace("__", "."), value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParameters.Request(parameters=given)
        return list(self.call(SetParameters, f"{node_name}/set_parameters", request).results)

    def spin_until(self, done: Callable[[], bool], *, timeout_s: float = 20.0) -> bool:
        """Spin until `done`; return whether it came to that."""
        deadline_s = time.monotonic() + timeout_s
        while not done() and time.monotonic() < deadline_s:
            self._executor.spin_once(timeout_sec=0.05)
        return done()

    def spin_for(self, seconds: float) -> None:
        """Spin for a while, to see that something does not happen."""
        self.spin_until(lambda: False, timeout_s=seconds)

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
