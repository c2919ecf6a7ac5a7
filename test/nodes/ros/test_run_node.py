"""One node as a process: how its run ends, with which exit code and which one line; in this process."""

import argparse
import os
import signal

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")

from rclpy.executors import ExternalShutdownException
from rclpy.utilities import try_shutdown
from ros_process import enter_environment

from metric3d_ros.errors import ConfigurationError, NodeError
from metric3d_ros.interruption import ending_signals
from metric3d_ros.nodes.ros import run_node as module
from metric3d_ros.nodes.ros.run_node import Stop, create_node, run_node

ARGUMENTS = ["probe", "--shared-memory-mib", "0", "--no-keep-buffers"]


@pytest.fixture(autouse=True)
def own_domain(monkeypatch, environment):
    enter_environment(monkeypatch, environment)


class Probe:
    """A node that does something once it spins."""

    def __init__(self, do, *, closes=True):
        self.node = create_node("probe")
        self._closes = closes
        self.closed = 0
        self.node.create_timer(0.01, do)

    def close(self):
        self.closed += 1
        return self._closes


def run(do, *, argv=ARGUMENTS, **options):
    """Run a probe that calls `do(stop)`; return the exit code, the probes that were made, and the stop."""
    made, stops = [], []

    def make(_, stop):
        stops.append(stop)
        made.append(Probe(lambda: do(stop), **options))
        return made[-1]

    return run_node("probe", make, argv=argv), made, stops[0] if stops else None


def test_work_that_is_done_ends_with_0():
    code, (probe,), stop = run(Stop.finish)
    assert (code, probe.closed, stop.error) == (0, 1, None)


def test_the_first_request_to_stop_counts():
    stop = Stop()
    stop.finish()
    stop.fail(NodeError("too late"))
    assert stop.requested
    assert stop.error is None
    stop = Stop()
    stop.fail(NodeError("first"))
    stop.fail(NodeError("second"))
    stop.finish()
    assert str(stop.error) == "first"


def test_a_failure_ends_with_1_and_its_line_in_the_log(capfd):
    code, (probe,), _ = run(lambda stop: stop.fail(NodeError("nothing works:\n  call somebody")))
    assert (code, probe.closed) == (1, 1)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "FATAL" in line]
    assert line.endswith("nothing works: call somebody")


def test_a_node_that_cannot_be_made_is_one_line(capfd):
    def make(*_):
        raise ConfigurationError("parameter x is 3,\nexpected 4")

    assert run_node("probe", make, argv=ARGUMENTS) == 1
    assert capfd.readouterr().err.splitlines() == ["probe: error: parameter x is 3, expected 4"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--ros-args", "-r", "a"], "ROS 2 cannot start: "),
        (["--shared-memory-mib", "-1"], "--shared-memory-mib is -1"),
        (["--ros-args", "--params-file", "/nowhere/p.yaml"], "cannot read parameter file /nowhere/p.yaml"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_one_line(capfd, arguments, text):
    code, made, _ = run(Stop.finish, argv=["probe", *arguments])
    assert (code, made) == (1, [])
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("probe: error: ")
    assert text in line


def test_an_exception_of_a_callback_does_not_end_the_node():
    calls = []

    def fail_twice(stop):
        calls.append(None)
        if len(calls) == 3:
            stop.finish()
            return
        raise ValueError("of what came")

    code, (probe,), _ = run(fail_twice)
    assert (code, len(calls), probe.closed) == (0, 3, 1)


def test_an_end_of_ros_from_within_is_an_error(capfd):
    code, (probe,), stop = run(lambda _: try_shutdown())
    assert (code, probe.closed) == (1, 1)
    assert str(stop.error).endswith("start the node again")
    capfd.readouterr()


def test_an_end_of_ros_while_waiting_is_named(monkeypatch, capfd):
    def end(*_, **__):
        raise ExternalShutdownException

    monkeypatch.setattr(module.EnduringExecutor, "spin_once", end)
    code, (probe,), stop = run(Stop.finish)
    assert (code, probe.closed) == (1, 1)
    assert str(stop.error) == "ROS 2 was shut down from within this process: start the node again"
    capfd.readouterr()


def test_an_executor_that_can_wait_for_nothing_ends_the_node(monkeypatch, capfd):
    spins = []

    def fail(*_, **__):
        spins.append(None)
        raise RuntimeError("wait set is\ninvalid")

    monkeypatch.setattr(module.EnduringExecutor, "spin_once", fail)
    code, (probe,), stop = run(Stop.finish)
    assert (code, probe.closed, len(spins)) == (1, 1, module._MOST_FAILURES)
    assert str(stop.error).startswith("ROS 2 can wait for nothing any more: ")
    assert str(stop.error).endswith("start the node again")
    capfd.readouterr()


def lose_port_once(monkeypatch):
    lost = [["fastrtps_port7411"]]
    kept = []
    monkeypatch.setattr(module.PortWatch, "lost", lambda _: lost.pop() if lost else [])
    monkeypatch.setattr(module, "keep_from_use", kept.append)
    return kept


def test_a_node_whose_port_was_removed_starts_anew(monkeypatch, capfd):
    kept = lose_port_once(monkeypatch)
    starts, told = [], []

    def make(_, stop):
        starts.append(Probe(lambda: stop.finish() if len(starts) == 2 else None))
        close = starts[-1].close
        starts[-1].close = lambda: told.append(stop.starts_anew) or close()
        return starts[-1]

    assert run_node("probe", make, argv=ARGUMENTS) == 0
    assert told == [True, False], "whether the node that is closed starts anew"
    assert [probe.closed for probe in starts] == [1, 1]
    assert kept == ["fastrtps_port7411"]
    assert "fastrtps_port7411 in shared memory was removed" in capfd.readouterr().err


def test_a_node_with_options_of_its_own_starts_anew_with_the_same_ones(monkeypatch, capfd):
    lose_port_once(monkeypatch)
    parser = argparse.ArgumentParser(prog="probe")
    parser.add_argument("--level", type=int)
    starts = []

    def make(options, stop):
        starts.append((options.level, options.shared_memory_mib))
        return Probe(lambda: stop.finish() if len(starts) == 2 else None)

    assert run_node("probe", make, argv=[*ARGUMENTS, "--level", "3"], parser=parser) == 0
    assert starts == [(3, 0), (3, 0)]
    capfd.readouterr()


class Left(BaseException):
    """In the place of the end of this process."""


def leave_at_once(monkeypatch):
    def leave(code):
        raise Left(code)

    monkeypatch.setattr(os, "_exit", leave)


@pytest.mark.parametrize(("do", "code"), [(Stop.finish, 0), (lambda stop: stop.fail(NodeError("no")), 1)])
def test_a_thread_that_is_still_busy_is_left_behind(monkeypatch, capfd, do, code):
    leave_at_once(monkeypatch)
    with pytest.raises(Left) as left:
        run(do, closes=False)
    assert left.value.args == (code,)
    capfd.readouterr()


def test_a_busy_node_whose_port_was_removed_cannot_start_anew(monkeypatch, capfd):
    lose_port_once(monkeypatch)
    leave_at_once(monkeypatch)
    with pytest.raises(Left) as left:
        run(lambda _: None, closes=False)
    assert left.value.args == (1,)
    capfd.readouterr()


def test_missing_log_files_and_unenforced_security_are_warned_about(monkeypatch, capfd):
    monkeypatch.setattr(module, "explain_missing_log_files", lambda: "no log files: /x cannot be written")
    monkeypatch.setattr(module, "explain_unenforced_security", lambda: "security is not enforced")
    code, _, _ = run(Stop.finish)
    assert code == 0
    warnings = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line]
    assert len(warnings) == 2
    assert "no log files: /x cannot be written" in warnings[0]
    assert warnings[1].endswith("security is not enforced")


def test_a_signal_that_came_during_the_imports_ends_the_node_at_once(monkeypatch):
    monkeypatch.setattr(module.Interruptible, "interrupted", True)
    code, (probe,), stop = run(lambda _: None)
    assert (code, probe.closed, stop.requested) == (0, 1, True)


def test_signals_have_their_old_handlers_afterwards():
    before = {number: signal.getsignal(number) for number in ending_signals()}

    def interrupt(_):
        os.kill(os.getpid(), signal.SIGINT)

    code, (probe,), _ = run(interrupt)
    assert (code, probe.closed) == (0, 1)
    assert {number: signal.getsignal(number) for number in ending_signals()} == before
