"""Writing whole files where something is in the way: other processes, full name lists, folders that take nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest
from stand_ins import raising

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files import atomic
from metric3d_ros.files.atomic import (
    check_writable,
    new_folder,
    replacing,
    require_writable,
    temporary_folder,
    write_text,
)

refuse = raising(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_in_a_folder_that_nothing_can_be_added_to_a_file_is_written_directly_and_a_new_one_refused(
    tmp_path, monkeypatch
):
    path = tmp_path / "old.txt"
    path.write_text("a longer text before")
    monkeypatch.setattr(atomic, "_new_file", refuse)
    write_text(path, "after")
    assert path.read_text() == "after"
    check_writable(path)
    assert path.read_text() == "after"
    for write in (check_writable, lambda new: write_text(new, "new")):
        with pytest.raises(PermissionError):
            write(tmp_path / "new.txt")
    assert names_in(tmp_path) == ["old.txt"]


def test_a_file_of_others_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "theirs.txt"
    path.write_text("theirs")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for any user but root
    with pytest.raises(PermissionError):
        check_writable(path)
    with pytest.raises(
        ConfigurationError, match=r"^--json cannot be written \(Permission denied\); name another file$"
    ):
        require_writable(path, what="--json")


def test_what_is_asked_for_is_tried_before_the_work(tmp_path):
    require_writable(tmp_path / "new.json", what="--json new.json")
    require_writable(Path("/dev/null"), what="--json /dev/null")
    with pytest.raises(ConfigurationError, match=r"^--json x: there is no folder .*missing; make it first$"):
        require_writable(tmp_path / "missing" / "x", what="--json x")
    with pytest.raises(ConfigurationError, match=r"^--json . cannot be written \(Is a directory\)"):
        require_writable(tmp_path, what="--json .")
    assert names_in(tmp_path) == []


def test_a_durable_folder_has_all_its_files(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(atomic, "save_to_disk", saved.append)
    with new_folder(tmp_path / "parent", ["folder"], durable=True) as found:
        (found[0] / "inner").mkdir()
        write_text(found[0] / "inner" / "file.txt", "text")
        growing = found[0]
    assert found == [tmp_path / "parent/folder"]
    assert (found[0] / "inner/file.txt").read_text() == "text"
    assert set(saved) == {growing, growing / "inner", growing / "inner/file.txt", tmp_path / "parent"}
    assert saved.index(growing) < saved.index(tmp_path / "parent")


def test_a_name_that_another_process_takes_at_the_last_moment_is_passed_over(tmp_path, monkeypatch):
    rename = Path.rename

    def faster(source, target):
        if target.name == "1":
            target.mkdir()
            (target / "theirs").touch()
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", faster)
    with new_folder(tmp_path, ["1", "2"]) as found:
        (found[0] / "ours").touch()
    assert found == [tmp_path / "2"]
    assert names_in(tmp_path / "1") == ["theirs"]
    assert names_in(tmp_path / "2") == ["ours"]


def test_a_folder_that_cannot_be_moved_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError), new_folder(tmp_path, ["1", "2"]):
        pass
    assert names_in(tmp_path) == []


def test_a_file_that_another_process_took_for_abandoned_is_made_again(tmp_path, monkeypatch):
    flock, removed = fcntl.flock, []

    def late(descriptor, operation):
        if not removed:
            (growing,) = tmp_path.glob("*.part")
            growing.unlink()
            removed.append(growing)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write_text(tmp_path / "file.txt", "text")
    assert removed
    assert names_in(tmp_path) == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "text"


def test_a_folder_that_another_process_took_for_abandoned_is_made_again(tmp_path, monkeypatch):
    open_file, removed = os.open, []

    def late(path, *arguments, **options):
        if str(path).endswith(".part") and not removed:
            removed.append(path)
            shutil.rmtree(path)
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(os, "open", late)
    with temporary_folder(tmp_path, "work") as folder:
        assert folder.is_dir()
        assert len(removed) == 1
        assert folder not in removed
    assert names_in(tmp_path) == []


def test_what_took_the_place_of_an_abandoned_file_is_left_alone(tmp_path, monkeypatch):
    abandoned = tmp_path / ".file.1-0123abcd.part"
    abandoned.write_text("abandoned")
    monkeypatch.setattr(atomic, "is_at", lambda *_: False)
    atomic.remove_abandoned(tmp_path)
    assert names_in(tmp_path) == [abandoned.name]
    monkeypatch.undo()
    atomic.remove_abandoned(tmp_path)
    assert names_in(tmp_path) == []


def test_folders_are_cleaned_once_and_the_list_of_those_that_were_stays_short(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_MOST_CLEANED", 1)
    monkeypatch.setattr(atomic, "_cleaned", set())
    cleaned = []
    monkeypatch.setattr(atomic, "remove_abandoned", cleaned.append)
    for folder in ("a", "a", "b", "a"):
        write_text(tmp_path / folder / "file.txt", "text")
    assert cleaned == [tmp_path / "a", tmp_path / "b", tmp_path / "a"]
    with atomic.temporary_folder(tmp_path, "growing") as growing:
        cleaned.clear()
        with replacing(growing / "file.txt") as file:
            file.write(b"text")
        assert cleaned == []  # nobody else writes there
