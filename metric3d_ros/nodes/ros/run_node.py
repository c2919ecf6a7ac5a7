"""Runs one node as a process: large messages, rclpy, signals, a clean shutdown and an exit code."""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier, remove_ros_args, try_shutdown

from metric3d_ros.command_line import require_numbers
from metric3d_ros.errors import ConfigurationError, Metric3DError, NodeError
from metric3d_ros.files.excerpts import printable
from metric3d_ros.interruption import Interruptible, ending_signals
from metric3d_ros.nodes.parameter_server.sources import ParameterSources
from metric3d_ros.nodes.ros.log_files import WITHOUT_FILES, explain_missing_log_files
from metric3d_ros.nodes.serving.enduring_executor import EnduringExecutor
from metric3d_ros.nodes.serving.faults import Faults, one_line
from metric3d_ros.nodes.serving.serving_node import ServingNode
from metric3d_ros.nodes.transport.large_messages import TransportReport, prepare_for_large_messages
from metric3d_ros.nodes.transport.lost_ports import PortWatch, keep_from_use
from metric3d_ros.nodes.transport.security_settings import explain_unenforced_security, security_remedy

# Python runs signal handlers between two calls of the executor, so this bounds how long Ctrl-C takes.
_SPIN_S = 0.1
# An executor that fails this often in a row, outside of any callback, waits for nothing any more.
_MOST_FAILURES = 20


class Stop:
    """Asks the process to end, from any thread; the first request counts."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._lock = threading.Lock()
        self.error: Metric3DError | None = None
        self.starts_anew = False
        """Whether the node is closed only to be made again in this process: what is to go on need not end with it."""

    def finish(self) -> None:
        """End with exit code 0: the work is done, or the user asked for it."""
        with self._lock:
            self._requested.set()

    def fail(self, error: Metric3DError) -> None:
        """End with exit code 1 and log `error`."""
        with self._lock:
            if not self._requested.is_set():
                self.error = error
            self._requested.set()

    @property
    def requested(self) -> bool:
        """Whether anybody has asked."""
        return self._requested.is_set()


class RunnableNode(Protocol):
    """What `run_node` runs."""

    node: ServingNode

    def close(self) -> bool:
        """End threads and release what is held; False if a thread is still busy and must be left behind."""


MakeNode = Callable[[argparse.Namespace, Stop], RunnableNode]


def run_node(
    name: str,
    make_node: MakeNode,
    *,
    argv: Sequence[str] | None = None,
    parser: argparse.ArgumentParser | None = None,
) -> int:
    """Run one node until it is done, fails, or a signal asks it to end; return the process's exit code.

    Args:
        name: the process's name in messages that come before there is a node.
        make_node: makes the node from the command line's options, whose `parameter_sources` are what follows
            --ros-args; may raise Metric3DError.
        argv: the command line with the program's name; None for sys.argv.
        parser: parses what is not meant for ROS; None if the node has no options of its own.
    """
    argv = list(sys.argv if argv is None else argv)
    parser = _with_own_options(parser or _parser_without_options(name))
    stop = Stop()
    clean, running, report = True, True, None
    with _stopped_by_signals(stop):
        try:
            while running:
                with contextlib.closing(ParameterSources(argv, accepts=_ros_accepts)) as sources:
                    options = _parse(sources.argv, parser)
                    options.parameter_sources = sources
                    report = report or prepare_for_large_messages(
                        rmw_implementation=get_rmw_implementation_identifier(),
                        shared_memory_mib=options.shared_memory_mib,
                        keep_buffers=options.keep_buffers,
                    )
                    without_files = explain_missing_log_files()
                    with _explained_ros_errors():
                        # Our own handlers: rclpy's shut the context down at once, while other threads publish.
                        rclpy.init(
                            args=[*sources.argv, *(WITHOUT_FILES if without_files else ())],
                            signal_handler_options=SignalHandlerOptions.NO,
                        )
                told = report.with_warning(without_files) if without_files else report
                clean, lost_ports = _spin(make_node, options, stop, told)
                try_shutdown()
                running = bool(lost_ports) and not stop.requested
                for port in lost_ports:
                    keep_from_use(port)
        except Metric3DError as error:
            stop.fail(error)
            print(f"{name}: error: {_with_remedy(error)}", file=sys.stderr)
        finally:
            try_shutdown()
    exit_code = 0 if stop.error is None else 1
    if not clean:
        # An inference that takes seconds cannot be interrupted, and a thread inside ONNX Runtime crashes the
        # interpreter's shutdown.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    return exit_code


def _spin(
    make_node: MakeNode, options: argparse.Namespace, stop: Stop, report: TransportReport
) -> tuple[bool, list[str]]:
    """Spin until `stop`; return whether everything could be closed, and the ports whose loss ended it early."""
    try:
        runnable = make_node(options, stop)
    finally:
        report.forget_profile()
    logger = runnable.node.get_logger()
    (logger.warning if report.is_warning else logger.info)(report.text)
    unenforced = explain_unenforced_security()
    if unenforced:
        logger.warning(unenforced)
    stop.starts_anew = False
    executor = EnduringExecutor(runnable.node.faults)
    executor.add_node(runnable.node)
    try:
        lost_ports = _spin_until(stop, executor, runnable.node.faults)
        stop.starts_anew = bool(lost_ports)
        if stop.error is not None:
            logger.fatal(_with_remedy(stop.error))
        elif lost_ports:
            logger.warning(
                f"{' and '.join(lost_ports)} in shared memory was removed by a process that sends to a killed node: "
                "nothing would come any more, so the node starts anew"
            )
    finally:
        clean = runnable.close()
        executor.shutdown()
        runnable.node.destroy_node()
    if lost_ports and not clean:
        stop.fail(NodeError(f"nothing can come, since {' and '.join(lost_ports)} was removed: start the node again"))
    return clean, lost_ports


def _spin_until(stop: Stop, executor: EnduringExecutor, faults: Faults) -> list[str]:
    """Spin until `stop`, whatever others send; what the executor itself raises again and again ends the node.

    Return early with the names of shared-memory ports that were lost.
    """
    failures = 0
    watch = PortWatch()
    while not stop.requested:
        try:
            executor.spin_once(timeout_sec=_SPIN_S)
            failures = 0
        except ExternalShutdownException:
            stop.fail(NodeError("ROS 2 was shut down from within this process: start the node again"))
        except Exception as error:  # what others sent must not end the node
            failures += 1
            faults.note("executor: what came", error)
            if failures == _MOST_FAILURES:
                stop.fail(NodeError(f"ROS 2 can wait for nothing any more: {one_line(error)}; start the node again"))
        lost_ports = watch.lost()
        if lost_ports:
            return lost_ports
    return []


def create_node(name: str) -> ServingNode:
    """Return a node as `ParameterServer` wants it; ConfigurationError if ROS 2 cannot make one."""
    with _explained_ros_errors():
        return ServingNode(name, automatically_declare_parameters_from_overrides=True, enable_logger_service=True)


def _parser_without_options(name: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=name, description="Set its parameters with --ros-args -p NAME:=VALUE.")


def _with_own_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that every node has; once, since a node that starts anew is parsed anew."""
    parser.add_argument(
        "--shared-memory-mib",
        type=int,
        default=None,
        metavar="MIB",
        help="size of Fast DDS's shared memory; 0 leaves Fast DDS as it is (METRIC3D_SHARED_MEMORY_MIB; default: 64)",
    )
    parser.add_argument(
        "--keep-buffers",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let the C allocator keep large buffers for the next message (METRIC3D_KEEP_BUFFERS; default: yes)",
    )
    return parser


def _parse(argv: Sequence[str], parser: argparse.ArgumentParser) -> argparse.Namespace:
    with _explained_ros_errors():
        own = remove_ros_args(args=argv)[1:]
    options = parser.parse_args(own)
    require_numbers(options, "shared_memory_mib", least=0, unit="MiB")
    return options


def _ros_accepts(argv: Sequence[str]) -> bool:
    """Return whether ROS 2 takes a command line with its parameter files; nothing is logged either way."""
    try:
        remove_ros_args(args=list(argv))
    except Exception:  # of several private types
        return False
    return True


@contextlib.contextmanager
def _explained_ros_errors() -> Iterator[None]:
    """Raise ConfigurationError for what keeps ROS 2 from starting: arguments, parameter files, log folder."""
    try:
        yield
    except Exception as error:  # of many types, few of them public
        remedies = [security_remedy(), "check what follows --ros-args, and that HOME or ROS_LOG_DIR is set"]
        remedy = "; or ".join(filter(None, remedies))
        raise ConfigurationError(f"ROS 2 cannot start: {one_line(error)}; {remedy}") from error


@contextlib.contextmanager
def _stopped_by_signals(stop: Stop) -> Iterator[None]:
    """Let signals request a stop, however often they come, and put the old handlers back afterwards."""
    before = {number: signal.signal(number, lambda *_: stop.finish()) for number in ending_signals()}
    if Interruptible.interrupted:  # by one that came before, and was lost in an import that can do without
        stop.finish()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_remedy(error: Metric3DError) -> str:
    """Return our own error's message on one line, uncut: the remedy is at its end."""
    return printable(" ".join(str(error).split()))
