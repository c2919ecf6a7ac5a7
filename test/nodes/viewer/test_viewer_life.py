"""The Rerun viewer's process from its start to its end, with a stand-in for the viewer's program."""

import importlib.metadata
import importlib.util
import socket
import stat
import sys

import pytest

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.viewer import rerun_process
from metric3d_ros.nodes.viewer.rerun_process import RerunProcess, ViewerError

LISTEN = """
import signal, socket, sys, time
if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
port = int(sys.argv[sys.argv.index("--port") + 1])
print("listening with", *sys.argv[1:], flush=True)
server = socket.create_server(("127.0.0.1", port))
time.sleep(600)
"""
"""As long as it takes to be ended."""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a Python program in the place of the viewer's."""

    def put(text):
        path = tmp_path / "rerun"
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(rerun_process, "_executable", lambda: path)

    monkeypatch.setenv("DISPLAY", ":0")
    return put


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(kind="web", **options):
    return RerunProcess(kind, grpc_port=free_port(), web_port=free_port(), **options)


def test_a_web_viewer_listens_and_ends_with_its_owner(program):
    program(LISTEN.format(stubborn=False))
    viewer = start(memory_limit="64MiB")
    try:
        assert not viewer.has_ended
        assert viewer.failure() is None
        assert viewer.grpc_url.startswith("rerun+http://127.0.0.1:")
        assert viewer.page_url.startswith("http://127.0.0.1:")
        told = viewer._tail()
        assert "--serve-web" in told
        assert "--server-memory-limit 64MiB" in told
        assert "--cors-allow-origin" not in told
    finally:
        viewer.close()
    assert viewer.has_ended


def test_a_viewer_that_does_not_end_when_it_is_asked_to_is_killed(program, monkeypatch):
    monkeypatch.setattr(rerun_process, "_STOP_S", 0.2)
    program(LISTEN.format(stubborn=True))
    viewer = start()
    viewer.close()
    assert viewer.has_ended
    assert "ended with exit code -9" in str(viewer.failure())


def test_a_window_is_left_to_its_user(program):
    program(LISTEN.format(stubborn=False))
    viewer = start("window")
    try:
        viewer.close()
        assert not viewer.has_ended
        assert "--expect-data-soon --memory-limit 1GiB" in viewer._tail()
    finally:
        viewer._end()
    assert viewer.has_ended


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "import sys; print('a\\nb\\n\\nc\\nd'); sys.exit(3)",
            "ended with exit code 3: b | c | d; --web needs no display",
        ),
        ("import sys; sys.exit(3)", "ended with exit code 3: it printed nothing"),
        ("print('bye')", "the Rerun viewer ended at once: bye"),
    ],
)
def test_a_viewer_that_ends_at_once_is_one_line_with_its_last_words(program, text, reason):
    program(text)
    with pytest.raises(ViewerError) as raised:
        start()
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_viewer_that_never_listens_is_ended_and_reported(program, monkeypatch):
    monkeypatch.setattr(rerun_process, "_START_S", 0.5)
    program("import time; time.sleep(600)")
    started = []
    popen = rerun_process.subprocess.Popen

    def remember(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(rerun_process.subprocess, "Popen", remember)
    with pytest.raises(ViewerError, match=r"did not listen on port \d+ in 0\.5 s: it printed nothing$"):
        start()
    assert started[0].poll() is not None


def test_other_machines_may_open_the_page_if_the_viewer_can_allow_it(program):
    program("print('usage: --cors-allow-origin ORIGIN')")
    assert rerun_process._page_permission("0.0.0.0", 90) == ["--cors-allow-origin", "http://*:90"]
    assert rerun_process._page_permission("127.0.0.1", 90) == []
    program("print('usage: none')")
    assert rerun_process._page_permission("0.0.0.0", 90) == []


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ConfigurationError, match=r"cannot listen on 203\.0\.113\.7 .*give --host an address of this"):
        rerun_process._free_port("203.0.113.7", 0)


def test_a_port_that_is_taken_gives_another():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert rerun_process._free_port("127.0.0.1", port) not in (0, port)


def test_a_rerun_without_a_viewer_for_this_machine_leaves_recording(monkeypatch, tmp_path):
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(ViewerError, match=r"rerun is missing\): use --save FILE\.rrd$"):
        rerun_process._executable()
    (tmp_path / "rerun").touch()
    assert rerun_process._executable() == tmp_path / "rerun"


def test_a_rerun_of_its_own_build_can_be_used_and_a_missing_one_not(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    assert rerun_process.explain_missing_rerun() is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert rerun_process.explain_missing_rerun().startswith("Rerun cannot be imported: install it with")
