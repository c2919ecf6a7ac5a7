"""Whatever is wrong with a user's file is one line that names it and ends with the remedy."""

from __future__ import annotations

import os
import uuid

import pytest

from metric3d_ros.errors import DataError
from metric3d_ros.files.boundary import (
    is_readable,
    one_line_about,
    read_bytes,
    read_end,
    read_lines,
    read_text,
    reason_of,
)
from metric3d_ros.files.remote import path_of

REMEDY = "name another file"


def raise_about(problem, **options):
    with one_line_about("a.npz", DataError, what="NumPy file", remedy=REMEDY, **options):
        raise problem


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (PermissionError(13, "Permission denied"), f"cannot read a.npz: Permission denied; {REMEDY}"),
        (OSError("odd"), f"cannot read a.npz: odd; {REMEDY}"),
        (KeyError("x\ny"), rf"a.npz is no readable NumPy file ('x\ny'): {REMEDY}"),
        (RecursionError(), f"a.npz is no readable NumPy file (RecursionError): {REMEDY}"),
        (MemoryError("too much\nat line 7"), "reading a.npz as NumPy file takes more memory than there is (too much)"),
        (DataError("our own"), "our own"),
    ],
)
def test_each_problem_is_one_line_with_the_file_and_the_remedy(problem, text):
    with pytest.raises(DataError) as raised:
        raise_about(problem)
    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)


def test_what_the_caller_asks_for_passes_as_it_is():
    with pytest.raises(KeyError):
        raise_about(KeyError("mine"), passing=(KeyError,))
    assert reason_of(ValueError("  first \nsecond")) == "first"


def test_paths_that_are_no_file_are_not_readable(tmp_path):
    (tmp_path / "file").touch()
    assert is_readable(tmp_path / "file")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "nul\0byte"):
        assert not is_readable(path)


def lines_of(path, *, most_bytes=100, most_line_bytes=10):
    limits = {"most_bytes": most_bytes, "most_line_bytes": most_line_bytes}
    return list(read_lines(path, **limits, error=DataError, remedy=REMEDY, what="manifest"))


def test_lines_come_with_their_numbers_up_to_the_limits(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"one\ntwo\n\nlast")
    assert lines_of(path) == [(1, b"one\n"), (2, b"two\n"), (3, b"\n"), (4, b"last")]
    with pytest.raises(DataError, match=f"^manifest .*lines.txt has 13 bytes, expected at most 12: {REMEDY}$"):
        lines_of(path, most_bytes=12)
    with pytest.raises(DataError, match=f"lines.txt: line 1 has over 3 bytes, which no line has: {REMEDY}$"):
        lines_of(path, most_line_bytes=3)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=f"pipe is no file: {REMEDY}$"):
        lines_of(tmp_path / "pipe")


def test_a_pipe_and_a_file_that_is_too_large_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=f"^{tmp_path}/pipe is no file: {REMEDY}$"):
        read_bytes(tmp_path / "pipe", most_bytes=9, error=DataError, remedy=REMEDY)
    (tmp_path / "large").write_bytes(bytes(10))
    with pytest.raises(DataError, match="has 10 bytes, expected at most 9"):
        read_bytes(tmp_path / "large", most_bytes=9, error=DataError, remedy=REMEDY)
    assert read_bytes(tmp_path / "large", most_bytes=10, error=DataError, remedy=REMEDY) == bytes(10)


def test_a_file_at_a_url_has_the_same_limit():
    pytest.importorskip("upath", reason="universal_pathlib is not installed: pip install 'metric3d_ros[remote]'")
    path = path_of(f"memory://{uuid.uuid4().hex}/file.bin")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(10))
    assert read_bytes(path, most_bytes=10, error=DataError, remedy=REMEDY) == bytes(10)
    with pytest.raises(DataError, match=f"has over 9 bytes, which are too many: {REMEDY}$"):
        read_bytes(path, most_bytes=9, error=DataError, remedy=REMEDY)


def test_text_is_utf_8_with_or_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufefföl".encode())
    assert read_text(path, error=DataError, remedy=REMEDY) == "öl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"^calibration .*text is no text that can be read \(invalid start byte\); "):
        read_text(path, error=DataError, remedy=REMEDY, what="calibration")


def test_the_end_of_a_log_is_read_however_long_it_is(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 50 + b"the end")
    with path.open("rb") as file:
        assert read_end(file, most_bytes=7) == "the end"
        assert read_end(file) == "x" * 50 + "the end"
