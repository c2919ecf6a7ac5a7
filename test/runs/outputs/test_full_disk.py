"""`metric3d run` on a full disk: one line with the remedy, whatever is written. /dev/full stands for the disk."""

import contextlib
import errno

import numpy as np
import pytest

from metric3d_ros.cli import main
from metric3d_ros.recordings import exr, videos
from metric3d_ros.recordings.bags.writer import BagPart
from metric3d_ros.runs.outputs import part_files


@pytest.fixture
def run(model, folder, tmp_path, capfd):
    """Run the pictures, or another input; return the exit status and the lines that were printed as errors."""

    def run(*words, inputs=folder):
        words = ["run", inputs, "-o", tmp_path / "out", "--model", model, "--provider", "cpu", "--threads", "1", *words]
        status = main([str(word) for word in words])
        return status, capfd.readouterr().err.splitlines()

    return run


def assert_full(result, tmp_path):
    status, lines = result
    assert status == 1
    assert not [line for line in lines if "Traceback" in line or "Error" in line]
    assert "No space left on device; 3 frames were done by then" in lines[-1]
    assert "make room, and run again with --resume" in lines[-1]
    assert not (tmp_path / "out/.parts").exists()


def test_a_disk_that_is_full_when_a_part_of_a_video_ends_is_one_line(run, tmp_path, monkeypatch):
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'metric3d_ros[video]'")

    def begin_on_full_disk(path, size_hw):
        path.symlink_to("/dev/full")
        return videos.VideoWriter(path, size_hw)

    monkeypatch.setattr(part_files, "VideoWriter", begin_on_full_disk)
    assert_full(run("--focal", 70, "--write", "video"), tmp_path)
    monkeypatch.undo()
    assert run("--focal", 70, "--write", "video", "--resume")[0] == 0
    assert (tmp_path / "out/pictures/pictures.mp4").stat().st_size > 0


@contextlib.contextmanager
def replace_on_full_disk(_):
    with open("/dev/full", "wb", buffering=0) as file:
        yield file


def test_a_disk_that_is_full_when_parts_of_a_video_are_joined_is_one_line(run, tmp_path, monkeypatch):
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'metric3d_ros[video]'")
    words = ("--focal", 70, "--write", "video", "--chunk", 1)
    monkeypatch.setattr(videos, "replacing", replace_on_full_disk)
    result = run(*words)
    assert_full(result, tmp_path)
    assert f"metric3d run: {tmp_path}/out/pictures/pictures.mp4: No space left" in result[1][-1]
    monkeypatch.undo()
    assert run(*words, "--resume")[0] == 0
    assert (tmp_path / "out/pictures/pictures.mp4").stat().st_size > 0


@pytest.mark.parametrize("count", [1, 40])
def test_joining_onto_a_full_disk_is_an_error_of_the_system_however_long_the_video(tmp_path, monkeypatch, capfd, count):
    """A short one is written when it is closed, a long one before."""
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'metric3d_ros[video]'")
    writer, rng = videos.VideoWriter(tmp_path / "part.mp4", (64, 96)), np.random.default_rng(0)
    for number in range(count):
        writer.write(rng.integers(0, 256, (64, 96, 3), np.uint8), number * 100_000_000)
    writer.close()
    monkeypatch.setattr(videos, "replacing", replace_on_full_disk)
    with pytest.raises(OSError, match="No space left on device") as caught:
        videos.join_videos([tmp_path / "part.mp4"], tmp_path / "whole.mp4")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "whole.mp4"))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("pages", [1, 14])
def test_a_disk_that_is_full_while_sqlite_writes_a_bag_is_one_line(run, tmp_path, monkeypatch, pages):
    """SQLite raises the same for the pages that a file may have at most; with 1, nothing can be added."""
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")
    from made_bags import write_ros2

    def begin_on_full_disk(*arguments, **options):
        part = BagPart(*arguments, **options)
        part._writer.storage.conn.execute(f"PRAGMA max_page_count={pages}")
        return part

    words = ("--write", "bag", "--storage", "sqlite3", "--outputs", "depth")
    drive = write_ros2(tmp_path / "drive", 3)
    monkeypatch.setattr(part_files, "BagPart", begin_on_full_disk)
    status, lines = run(*words, inputs=drive)
    assert status == 1
    assert "No space left on device; " in lines[-1]
    assert "make room, and run again with --resume" in lines[-1]
    assert not (tmp_path / "out/.parts").exists()
    monkeypatch.undo()
    assert run(*words, "--resume", inputs=drive)[0] == 0


def test_a_database_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")
    from metric3d_ros.recordings.bags import message_classes

    part = BagPart(tmp_path / "part", storage="sqlite3")
    part._writer.storage.conn.execute("PRAGMA query_only=1")
    header = message_classes.Header()
    with pytest.raises(OSError, match="readonly database") as caught:
        part.write("/a", "std_msgs/msg/Header", header, 1)
    assert caught.value.filename == str(tmp_path / "part")
    part.abort()
    assert not (tmp_path / "part").exists()


def test_a_disk_that_is_full_while_an_exr_file_is_written_is_one_line(run, tmp_path, monkeypatch):
    pytest.importorskip("OpenEXR", reason="OpenEXR is not installed: pip install 'metric3d_ros[exr]'")

    def write_on_full_disk(path, depth_m):
        if path.name == "view_2.exr":
            path.symlink_to("/dev/full")
        exr.write_exr(path, depth_m)

    monkeypatch.setattr(part_files, "write_exr", write_on_full_disk)
    status, lines = run("--focal", 70, "--write", "exr")
    assert status == 1
    assert "view_2.exr: No space left on device; 2 frames were done by then" in lines[-1]
    assert "make room, and run again with --resume" in lines[-1]
