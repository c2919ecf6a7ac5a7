"""Files and folders are whole or not there, whoever writes beside this process and whenever one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from metric3d_ros.files.atomic import check_writable, new_folder, replacing, temporary_folder, write_text

FOLDERS = """
import sys, pathlib
from metric3d_ros.files.atomic import new_folder
print("ready", flush=True)
sys.stdin.readline()
names = ["1.5", *(f"1.5-{i}" for i in range(2, 100))]
for round in range(10):
    with new_folder(pathlib.Path(sys.argv[1]), names) as found:
        for file in range(8):
            (found[0] / f"{file}").write_text(sys.argv[2])
    print(found[0].name, flush=True)
"""
ENDLESS = """
import sys, pathlib, time
from metric3d_ros.files.atomic import new_folder, replacing
path = pathlib.Path(sys.argv[1])
with new_folder(path, ["folder"]) as found, replacing(path / "file.txt") as file:
    (found[0] / "half").write_text("half")
    file.write(b"half")
    file.flush()
    print("growing", flush=True)
    time.sleep(600)
"""
LOOP = """
import sys, pathlib
from metric3d_ros.files.atomic import write_text
print("ready", flush=True)
while True:
    write_text(pathlib.Path(sys.argv[1]), sys.argv[2] * 100000)
"""


def start(script, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline()
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_processes_that_want_one_name_all_get_a_complete_folder(tmp_path):
    processes = [start(FOLDERS, tmp_path, word) for word in ("a", "b", "c")]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [process.communicate(timeout=60)[0].split() for process in processes]
    names = [name for each in taken for name in each]
    assert sorted(names) == sorted(["1.5", *(f"1.5-{i}" for i in range(2, 31))])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for word, each in zip(("a", "b", "c"), taken, strict=True):
        for name in each:
            assert [path.read_text() for path in (tmp_path / name).iterdir()] == [word] * 8


def test_a_killed_writer_leaves_nothing_under_the_name_and_the_next_one_cleans_up(tmp_path):
    (tmp_path / "file.txt").write_text("before")
    process = start(ENDLESS, tmp_path)
    assert len([path for path in tmp_path.iterdir() if path.name.endswith(".part")]) == 2
    with temporary_folder(tmp_path, "other"):  # cleans, and spares what a living process writes
        assert len([path for path in tmp_path.iterdir() if path.name.endswith(".part")]) == 3
    kill(process)
    assert (tmp_path / "file.txt").read_text() == "before"
    assert not (tmp_path / "folder").exists()
    with new_folder(tmp_path, ["folder"]) as found:
        (found[0] / "whole").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.txt", "folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["whole"]


def test_a_file_that_is_written_by_many_and_killed_at_any_moment_is_always_whole(tmp_path):
    path = tmp_path / "file.txt"
    for attempt in range(4):
        processes = [start(LOOP, path, word) for word in ("x", "y")]
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            if path.exists():
                assert path.read_text() in ("x" * 100000, "y" * 100000)
        for process in processes:
            time.sleep(0.003 * attempt)
            kill(process)
    assert path.read_text() in ("x" * 100000, "y" * 100000)
    with temporary_folder(tmp_path, "next"):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("before")

    def fail():
        with replacing(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


def test_a_file_keeps_its_mode_and_a_link_its_place(tmp_path):
    target = tmp_path / "target.txt"
    target.write_text("before")
    target.chmod(0o640)
    (tmp_path / "link.txt").symlink_to(target)
    write_text(tmp_path / "link.txt", "after", durable=True)
    assert (tmp_path / "link.txt").is_symlink()
    assert target.read_text() == "after"
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path):
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "new")
    finally:
        os.umask(mask)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


def test_what_is_no_regular_file_is_written_to(tmp_path):
    script = (
        "from metric3d_ros.files.atomic import write_text; import pathlib; write_text(pathlib.Path('/dev/stdout'), 'x')"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "x"
    write_text(tmp_path / ("n" * 250), "a name as long as names can be")
    assert (tmp_path / ("n" * 250)).is_file()


def test_a_trial_whether_a_file_can_be_written_leaves_no_trace(tmp_path):
    check_writable(tmp_path / "new.json")
    (tmp_path / "old.json").write_text("kept")
    check_writable(tmp_path / "old.json")
    assert [each.name for each in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "kept"
    with pytest.raises(IsADirectoryError):
        check_writable(tmp_path)
    with pytest.raises(OSError, match="No such file"):
        check_writable(tmp_path / "missing" / "new.json")
    with pytest.raises(OSError, match="every name is taken"), new_folder(tmp_path, ["old.json"]):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["old.json"]
