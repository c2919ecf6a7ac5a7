"""Shares the machine between pytest-xdist's workers; a tiny model, and a ROS domain of a test's own."""

import os
import signal

import pytest

MOST_WORKERS = 8
"""Each worker holds PyTorch and a few nodes: about 2 GB."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_xdist_auto_num_workers() -> int:
    """Answer `--numprocesses auto`: a worker for each core. (pytest-xdist's own answer may count half of them.)"""
    return min(cores(), MOST_WORKERS)


def pytest_configure() -> None:
    """Let programs of tests get SIGINT, and give each worker its share of the cores.

    A shell's script lets what it starts in the background ignore SIGINT, and so would the programs that tests start.
    Threads that wait for one another's core burn time on both.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import tiny_models  # once pytest has set the path

    return tiny_models.save_contract_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture
def domain():
    from ros_process import next_domain  # imports rclpy, which few tests need

    return next_domain()


@pytest.fixture
def environment(tmp_path, domain):
    from ros_process import ros_environment

    return ros_environment(tmp_path / "log", domain)


@pytest.fixture
def bench(domain):
    from ros_process import TestBench

    bench = TestBench(domain)
    yield bench
    bench.close()
