"""Processes that download or build the same at once do not spoil each other's files, and a dead one holds nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hub_server import serve_hub, use_hub

from metric3d_ros.files.exclusive import hold_file, hold_folder, hold_folder_at_once, is_at
from metric3d_ros.hub import downloads
from metric3d_ros.hub.downloads import HubFile, download, part_path

CONTENT = os.urandom(2_000_000)
FILE = HubFile(
    repository="owner/name",
    revision="0123abcd" * 5,
    path="weights.bin",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture
def hub(monkeypatch):
    with serve_hub() as server:
        server.files[f"owner/name/resolve/{FILE.revision}/weights.bin"] = CONTENT
        use_hub(monkeypatch, server.url)
        yield server


def test_several_processes_that_download_one_file_transfer_it_once(hub, tmp_path):
    target = tmp_path / "weights.bin"
    script = (
        "import sys, pathlib; from metric3d_ros.hub import downloads; "
        f"print(downloads.download(downloads.{FILE!r}, pathlib.Path(sys.argv[1]), by_hand=''))"
    )
    with hold_file(part_path(FILE, target), on_wait=lambda: None):
        processes = [
            subprocess.Popen([sys.executable, "-c", script, target], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(3)
        ]
        for process in processes:
            line = process.stderr.readline()
            assert b"another process downloads" in line
    for process in processes:
        assert process.communicate(timeout=60)[0].decode().strip() == FILE.sha256
    assert len(hub.ranges_asked) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]
    assert target.read_bytes() == CONTENT


def test_who_waited_for_a_download_that_failed_takes_it_up(hub, tmp_path, monkeypatch):
    target = tmp_path / "weights.bin"
    monkeypatch.setattr(downloads, "_WAITS_S", ())
    waits, done = threading.Event(), []
    monkeypatch.setattr(downloads._LOG, "warning", lambda *_: waits.set())
    with hold_file(part_path(FILE, target), on_wait=lambda: None):
        part_path(FILE, target).write_bytes(CONTENT[:500_000])
        thread = threading.Thread(target=lambda: done.append(download(FILE, target, by_hand="")))
        thread.start()
        assert waits.wait(30)
    thread.join(30)
    assert done == [FILE.sha256]
    assert hub.ranges_asked == ["bytes=500000-"]


def test_a_part_that_another_process_removed_is_begun_anew(hub, tmp_path, monkeypatch):
    target = tmp_path / "weights.bin"
    waits, done = threading.Event(), []
    monkeypatch.setattr(downloads._LOG, "warning", lambda *_: waits.set())
    with hold_file(part_path(FILE, target), on_wait=lambda: None):
        thread = threading.Thread(target=lambda: done.append(download(FILE, target, by_hand="")))
        thread.start()
        assert waits.wait(30)
        part_path(FILE, target).unlink()
    thread.join(30)
    assert done == [FILE.sha256]
    assert target.read_bytes() == CONTENT


def test_a_file_that_was_moved_is_not_at_its_place_any_more(tmp_path):
    path = tmp_path / "x"
    with hold_file(path, on_wait=lambda: pytest.fail("nobody holds it")) as held:
        assert is_at(held, path)
        path.rename(tmp_path / "y")
        assert not is_at(held, path)
        assert is_at(held, tmp_path / "y")
        path.touch()
        assert not is_at(held, path)


def is_held(folder):
    try:
        with hold_folder_at_once(folder):
            return False
    except BlockingIOError:
        return True


def test_a_killed_process_holds_nothing(tmp_path):
    script = (
        "import sys, time, pathlib; from metric3d_ros.files.exclusive import hold_folder\n"
        "with hold_folder(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        assert is_held(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 10
    while is_held(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_held(tmp_path)
    with hold_folder(tmp_path):
        assert is_held(tmp_path)


def test_who_waits_hears_of_it_again_and_again(tmp_path):
    other = hold_file(tmp_path / "lock", on_wait=lambda: None)
    other.__enter__()
    heard = []

    def hear():
        heard.append(len(heard))
        if len(heard) == 3:
            other.__exit__(None, None, None)

    with hold_file(tmp_path / "lock", on_wait=hear, every_s=0.01) as held:
        assert is_at(held, tmp_path / "lock")
    assert heard == [0, 1, 2]
