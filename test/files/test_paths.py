"""Paths as users write them: home directories that are not known, and places that cannot be reached."""

import errno
import os
from pathlib import Path

import pytest
from stand_ins import raising

from metric3d_ros.camera.calibration.files import read_calibration_file
from metric3d_ros.engine.model_file import find_model
from metric3d_ros.errors import DataError, ModelError
from metric3d_ros.files.paths import user_path, why_missing


def test_a_home_directory_takes_the_place_of_its_sign(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a.yaml") == tmp_path / "a.yaml"
    assert user_path(Path("b/~c")) == Path("b/~c")


def test_a_user_that_does_not_exist_is_a_folder_that_does_not():
    assert user_path("~no such user/a.yaml") == Path("~no such user/a.yaml")
    with pytest.raises(DataError, match=r"~no such user/a\.yaml"):
        read_calibration_file("~no such user/a.yaml")


def test_a_process_without_a_home_reads_files_all_the_same(monkeypatch, tmp_path):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", raising(KeyError("no such user")))
    with pytest.raises(DataError, match=r"none\.yaml"):
        read_calibration_file(f"file://{tmp_path}/none.yaml")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), "does not exist"),
        (NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), "does not exist"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "cannot be reached (Permission denied)"),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)), "cannot be reached (File name too long)"),
        (ValueError("embedded null byte"), "cannot be reached (embedded null byte)"),
    ],
)
def test_a_model_that_cannot_be_reached_is_named_with_the_reason(tmp_path, monkeypatch, error, reason):
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", raising(error))
        assert why_missing(tmp_path / "a.onnx") == reason
    with monkeypatch.context() as patched:
        patched.setattr("metric3d_ros.files.paths.os.stat", raising(error))
        with pytest.raises(ModelError) as raised:
            find_model(tmp_path / "a.onnx")
    assert f"a.onnx {reason}: name a file" in str(raised.value)


def test_what_is_there_has_no_reason(tmp_path):
    assert why_missing(tmp_path) == ""


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000])
def test_a_name_that_is_too_long_is_one_line(name):
    with pytest.raises(DataError, match="cannot read"):
        read_calibration_file(name)
    with pytest.raises(ModelError, match=r"cannot be reached \(File name too long\)"):
        find_model(name)
