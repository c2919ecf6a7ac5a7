"""The Rerun viewer as a process of `metric3d view`: its page, its ports, its end, and what keeps it from starting."""

import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'metric3d_ros[ros]'")
pytest.importorskip("rerun", reason="Rerun is not installed: pip install 'metric3d_ros[viewer]'")
pytest.importorskip("rerun.chunk", reason="this rerun-sdk is too old to read recordings back")

from ros_process import TestBench, next_domain, ros_environment
from sensor_msgs.msg import Image
from view_recording import STAMPS_NS, picture, start_view

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.viewer import rerun_process
from metric3d_ros.nodes.viewer.rerun_log import _thinning


def viewer_of(process):
    return next(child for child in psutil.Process(process.pid).children() if child.name() == "rerun")


def page_of(process):
    return process.wait_for("watching").rpartition(" ")[2]


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A viewer for this machine: its process, its Rerun process, its page and a bench beside it."""
    domain = next_domain()
    process = start_view("--web", environment=ros_environment(tmp_path_factory.mktemp("web"), domain))
    bench = TestBench(domain)
    try:
        page = page_of(process)
        yield process, viewer_of(process), page, bench
    finally:
        bench.close()
        process.close()


# The first three are about one run, in this order.


def test_the_web_viewer_serves_its_page_to_this_machine_only(web):
    _, viewer, page, _ = web
    assert page.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert answer.status == 200
        assert b"<canvas" in answer.read()
    listening = [each.laddr for each in viewer.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert len(listening) == 2
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_a_viewer_that_takes_nothing_loses_messages_and_not_the_node(web):
    process, viewer, _, bench = web
    depth = bench.advertise(Image, "depth/image")
    assert bench.spin_until(lambda: depth.get_subscription_count())
    noise = np.random.default_rng(0).random((1000, 1000), np.float32) + 1
    message = picture(noise, "32FC1", STAMPS_NS[0])
    viewer.suspend()
    try:
        deadline = time.monotonic() + 30
        while "the viewer takes nothing: dropping what comes" not in "\n".join(process.lines):
            assert time.monotonic() < deadline, process.lines
            depth.publish(message)
            bench.spin_for(0.1)
        bench.spin_for(0.5)
        depth.publish(message)
        bench.spin_for(0.2)
    finally:
        viewer.resume()
    bench.spin_for(0.5)
    assert depth.get_subscription_count() == 1


def test_ctrl_c_ends_the_web_viewer_with_the_node(web):
    process, viewer, _, _ = web
    process.signal(signal.SIGINT)
    assert process.wait() == 0
    assert not viewer.is_running()
    dropped = int(process.lines[-1].partition("; ")[2].split()[0])
    assert dropped > 0


def test_a_page_opened_from_another_machine_may_fetch_the_data_until_the_viewer_dies(tmp_path):
    process = start_view("--web", "--host", "0.0.0.0", environment=ros_environment(tmp_path, next_domain()))
    try:
        page = urllib.parse.urlparse(page_of(process))
        assert page.hostname == socket.gethostname().lower()
        data = urllib.parse.urlparse(urllib.parse.parse_qs(page.query)["url"][0])
        for origin in (f"http://robot.local:{page.port}", f"http://192.168.7.7:{page.port}"):
            question = urllib.request.Request(
                f"http://127.0.0.1:{data.port}/",
                method="OPTIONS",
                headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
            )
            with urllib.request.urlopen(question, timeout=10) as answer:
                assert answer.headers["access-control-allow-origin"] in (origin, "*")
        viewer_of(process).kill()
        assert process.wait() == 1
    finally:
        process.close()
    assert "the Rerun viewer ended with exit code -9" in "\n".join(process.lines)


def test_a_taken_port_is_avoided_and_even_a_killed_node_leaves_no_viewer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start_view("--web", "--web-port", port, environment=ros_environment(tmp_path, next_domain()))
        try:
            assert f":{port}/" not in page_of(process)
            viewer = viewer_of(process)
            process.signal(signal.SIGKILL)
            process.wait()
            assert not psutil.wait_procs([viewer], timeout=10)[1]
        finally:
            process.close()


def fail_to_view(*arguments, environment=None):
    """Run `metric3d view` where it cannot start; return its exit code and standard error."""
    bare = {name: value for name, value in os.environ.items() if name not in rerun_process._DISPLAY_VARIABLES}
    command = [sys.executable, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment or bare, check=False)
    return result.returncode, result.stderr.strip()


VIEW = ("-m", "metric3d_ros.cli", "view")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [*VIEW, "--save", "/nowhere/at/all.rrd"],
            "--save /nowhere/at/all.rrd: there is no folder /nowhere/at; make it first",
        ),
        ([*VIEW, "--web", "--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
        ([*VIEW, "--save", "/dev/null", "--max-points", "0"], "--max-points is 0, expected 1 to"),
        ([*VIEW, "--save", "/dev/null", "--ros-args", "-p", "a"], "ROS 2 cannot start"),
        pytest.param(
            VIEW,
            "there is no display for Rerun's window (neither DISPLAY nor WAYLAND_DISPLAY is set): watch in a browser "
            "with --web (make demo: VIEWER=web)",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="a window needs no variable elsewhere"),
        ),
    ],
)
def test_what_cannot_be_shown_is_one_line_with_the_remedy(arguments, message):
    code, text = fail_to_view(*arguments)
    assert code == 1
    assert message in text
    assert len(text.splitlines()) == 1


def test_missing_rerun_is_one_line_with_the_remedy():
    code, text = fail_to_view(
        "-c",
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'rerun' else find(name, *more)\n"
        "from metric3d_ros.cli import main; sys.exit(main(['view']))",
    )
    assert code == 1
    assert len(text.splitlines()) == 1
    assert "pip install '.[viewer]'" in text


@pytest.mark.parametrize(("version", "usable"), [("0.29.9", False), ("0.30.0", True), ("1.0.0rc1", True)])
def test_an_old_rerun_is_refused_with_the_version_that_is_needed(monkeypatch, version, usable):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    told = rerun_process.explain_missing_rerun()
    assert (told is None) == usable
    assert usable or "rerun-sdk is 0.29.9, expected 0.30 or newer" in told


def test_the_setup_asks_for_the_version_that_the_code_needs():
    least = ".".join(map(str, rerun_process.LEAST_VERSION))
    assert f'"viewer": ["rerun-sdk>={least}"]' in (Path(__file__).parents[3] / "setup.py").read_text()


def test_a_display_of_either_kind_is_enough():
    rerun_process.check_display({"WAYLAND_DISPLAY": "wayland-0"})
    rerun_process.check_display({"DISPLAY": ":0"})
    if sys.platform == "linux":
        with pytest.raises(ConfigurationError, match="VIEWER=web"):
            rerun_process.check_display({"DISPLAY": ""})


@pytest.mark.parametrize(
    ("size_hw", "steps", "left"),
    [((10, 20), (1, 1), 200), ((20, 20), (2, 2), 100), ((1, 500), (1, 3), 167), ((41, 10), (2, 2), 105)],
)
def test_large_clouds_are_thinned_evenly(size_hw, steps, left):
    assert _thinning(size_hw, 200) == steps
    assert np.empty(size_hw)[:: steps[0], :: steps[1]].size == left
