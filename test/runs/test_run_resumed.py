"""`metric3d run --resume`: what failed is tried again, and nothing that was done is done twice."""

import dataclasses
import json
import re
import shutil

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from made_bags import write_ros2
from rosbags.highlevel import AnyReader

from metric3d_ros.cli import main
from metric3d_ros.errors import InferenceError
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.runs.manifest import Manifest
from metric3d_ros.runs.sources.frame import Chunk

COUNT, FOCAL = 6, 70


def run(model, *words):
    return main(["run", *map(str, words), "--model", str(model), "--provider", "cpu", "--threads", "1"])


def received(bag):
    """Return topic and receive time of each message, sorted."""
    with AnyReader([bag]) as reader:
        return sorted((connection.topic, t) for connection, t, _ in reader.messages())


def frames_of(out):
    """Return the last line of each frame."""
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return {line["frame"]: line for line in lines if "frame" in line}


@pytest.fixture
def mend(folder):
    """Cut a picture off; return a function that restores it."""
    path = folder / "view_1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    return lambda: path.write_bytes(whole)


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_a_picture_that_was_mended_is_done_and_no_other(model, folder, mend, tmp_path, chunk, capsys):
    words = (folder, "-o", tmp_path / "out", "--focal", FOCAL, "--write", "png16,html,video", "--chunk", chunk)
    assert run(model, *words) == 1
    png = tmp_path / "out/pictures/png16/view_0.png"
    written_ns = png.stat().st_mtime_ns
    mend()
    assert run(model, *words, "--resume") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 frame in ")
    assert not any("failed" in line for line in frames_of(tmp_path / "out").values())
    assert (tmp_path / "out/pictures/png16/view_1.png").is_file()
    assert png.stat().st_mtime_ns == written_ns
    page = (tmp_path / "out/index.html").read_text()
    assert page.index("view_0") < page.index("view_1") < page.index("view_2")
    whole = (tmp_path / "out/manifest.jsonl").read_bytes()
    assert run(model, *words, "--resume") == 0
    assert re.search(r"^0 frames in .*, 3 were there already", capsys.readouterr().out, re.MULTILINE)
    assert (tmp_path / "out/manifest.jsonl").read_bytes() == whole


def test_a_picture_that_is_still_broken_fails_again_for_its_present_reason(model, folder, mend, tmp_path, capsys):
    words = (folder, "-o", tmp_path / "out", "--focal", FOCAL)
    assert run(model, *words) == 1
    before = frames_of(tmp_path / "out")["view_1"]["failed"]
    capsys.readouterr()
    assert run(model, *words, "--resume") == 1
    assert before in capsys.readouterr().out
    assert len((tmp_path / "out/manifest.jsonl").read_text().splitlines()) == 4
    (folder / "view_1.png").write_bytes(b"")
    assert run(model, *words, "--resume") == 1
    now = frames_of(tmp_path / "out")["view_1"]["failed"]
    assert now != before
    assert now in capsys.readouterr().out


def test_a_run_of_which_every_frame_failed_is_begun_anew_with_other_options(model, folder, tmp_path, capsys):
    words = (folder, "-o", tmp_path / "out", "--write", "png16,bag,video")
    assert run(model, *words) == 1
    assert "3 failed (3 no camera)" in capsys.readouterr().out
    assert run(model, *words, "--focal", FOCAL) == 0
    assert "3 frames in" in capsys.readouterr().out
    assert len(received(tmp_path / "out/pictures/bag")) >= 3
    assert len((tmp_path / "out/manifest.jsonl").read_text().splitlines()) == 4
    assert run(model, *words, "--focal", FOCAL) == 1
    assert "holds a run already: give --resume to go on with it" in capsys.readouterr().err


@pytest.mark.parametrize("chunk", [2, 64])
def test_a_frame_of_a_bag_that_is_retried_gets_its_messages_and_nothing_is_copied_twice(
    model, tmp_path, monkeypatch, chunk
):
    bag = write_ros2(tmp_path / "drive", COUNT)
    words = ("--write", "bag", "--merge", "--chunk", chunk)
    assert run(model, bag, "-o", tmp_path / "whole", *words) == 0
    estimate, calls = Estimator.estimate_batch, []

    def fail_once(self, images, *arguments, **options):
        calls.append(None)
        if len(calls) == 2:
            raise InferenceError("the device was lost")
        return estimate(self, images, *arguments, **options)

    monkeypatch.setattr(Estimator, "estimate_batch", fail_once)
    assert run(model, bag, "-o", tmp_path / "out", *words) == 1
    assert sum("failed" in line for line in frames_of(tmp_path / "out").values()) == 1
    assert run(model, bag, "-o", tmp_path / "out", *words, "--resume") == 0
    assert len(calls) == COUNT + 1
    assert received(tmp_path / "out/drive/bag") == received(tmp_path / "whole/drive/bag")


def test_the_options_that_differ_are_named_as_they_are_given(model, folder, tmp_path, capsys):
    words = (folder, "-o", tmp_path / "out", "--limit", 2)
    assert run(model, *words, "--focal", FOCAL, "--write", "png16,npz") == 0
    assert run(model, *words, "--hfov", 60, "--merge", "--start", 0.1, "--resume") == 1
    error = capsys.readouterr().err
    for change in (
        "--focal was 70.0, now not given",
        "--hfov was not given, now 60.0",
        "--merge was false, now true",
        "--start was not given, now 0.1",
        "--write was png16,npz, now png16",
    ):
        assert change in error


def test_a_limit_may_grow(model, folder, tmp_path):
    words = (folder, "-o", tmp_path / "out", "--focal", FOCAL)
    assert run(model, *words, "--limit", 1) == 0
    assert run(model, *words, "--limit", 2, "--resume") == 0
    assert sorted(frames_of(tmp_path / "out")) == ["view_0", "view_1"]


@pytest.mark.parametrize("place", ["a", "view_0b", "view_9"])
def test_a_picture_that_was_added_is_done_wherever_it_comes(model, folder, tmp_path, place, capsys):
    words = (folder, "-o", tmp_path / "out", "--focal", FOCAL, "--chunk", 2, "--write", "png16,html")
    assert run(model, *words) == 0
    shutil.copy(folder / "view_0.png", folder / f"{place}.png")
    assert run(model, *words, "--resume") == 0
    assert "1 frame in" in capsys.readouterr().out
    assert (tmp_path / f"out/pictures/png16/{place}.png").is_file()
    assert f'alt="{place}"' in (tmp_path / "out/index.html").read_text()


def test_a_broken_picture_that_was_removed_is_no_failure_any_more(model, folder, mend, tmp_path, capsys):
    words = (folder, "-o", tmp_path / "out", "--focal", FOCAL)
    assert run(model, *words) == 1
    (folder / "view_1.png").unlink()
    capsys.readouterr()
    assert run(model, *words, "--resume") == 0
    assert "failed" not in capsys.readouterr().out


def test_a_picture_that_failed_is_tried_again_in_another_chunk_than_before(model, folder, mend, tmp_path):
    words = (folder, "-o", tmp_path / "out", "--focal", FOCAL, "--chunk", 2)
    shutil.copy(folder / "view_0.png", folder / "view_3.png")
    assert run(model, *words) == 1
    mend()
    shutil.copy(folder / "view_0.png", folder / "a.png")
    assert run(model, *words, "--resume") == 0
    assert not any("failed" in line for line in frames_of(tmp_path / "out").values())
    assert len(frames_of(tmp_path / "out")) == 5


def test_a_bag_that_has_grown_is_not_mixed_with_what_was_copied_of_it(model, tmp_path, capsys):
    bag, words = tmp_path / "drive", ("-o", tmp_path / "out", "--write", "bag", "--merge", "--chunk", 4)
    write_ros2(bag, COUNT)
    assert run(model, bag, *words) == 0
    before = received(tmp_path / "out/drive/bag")
    shutil.rmtree(bag)
    write_ros2(bag, 2 * COUNT)
    assert run(model, bag, *words, "--resume") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "drive is another bag, or a longer or shorter one" in error
    assert "give another folder" in error
    assert received(tmp_path / "out/drive/bag") == before


def test_of_a_bag_that_has_grown_the_frames_that_are_missing_are_done(model, tmp_path, capsys):
    bag, words = tmp_path / "drive", ("-o", tmp_path / "out", "--chunk", 4)
    write_ros2(bag, COUNT)
    assert run(model, bag, *words) == 0
    shutil.rmtree(bag)
    write_ros2(bag, 2 * COUNT)
    assert run(model, bag, *words, "--resume") == 0
    assert f"{COUNT} frames in" in capsys.readouterr().out.splitlines()[-1]
    assert len(list((tmp_path / "out/drive/png16").iterdir())) == 2 * COUNT


def test_a_retry_that_was_stopped_changes_no_count_of_what_an_option_left_out(tmp_path):
    chunk = Chunk(recording="drive", number=0, start=0, stop=9)
    manifest = Manifest(tmp_path, {}, resume=False)
    failed = {"recording": "drive", "frame": "a", "failed": "corrupt"}
    manifest.append(chunk, [failed], complete=True, left_out={"--every": 5})
    retry = dataclasses.replace(chunk, is_retry=True)
    manifest.append(retry, [{**failed, "failed": "too large"}], complete=False, left_out={"--every": 1})
    assert manifest.left_out("drive") == {"--every": 5}


PARTS = {
    "part of the video": ("drive/.video/drive_00001.mp4", None, "cannot read"),
    "part of the video, cut off": ("drive/.video/drive_00001.mp4", 2000, "is no readable part of a video"),
    "part of the bag": ("drive/bag/drive_00001.mcap", None, "is gone, which is a part of the bag"),
    "metadata of a part of the bag": ("drive/bag/.drive_00001.mcap.yaml", None, "cannot read"),
    "metadata of a part of the bag, cut off": ("drive/bag/.drive_00001.mcap.yaml", 30, "is no readable metadata"),
    "bag": ("drive/bag", None, "cannot read"),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_gone_is_named_until_it_is_back(model, tmp_path, part, capsys):
    name, size, message = PARTS[part]
    bag = write_ros2(tmp_path / "drive", COUNT)
    words = (bag, "-o", tmp_path / "out", "--write", "bag,video", "--outputs", "depth", "--chunk", 2)
    assert run(model, *words) == 0
    whole = (tmp_path / "out/drive/bag/metadata.yaml").read_bytes()
    path, kept = tmp_path / "out" / name, tmp_path / "kept"
    path.rename(kept)
    if size:
        path.write_bytes(kept.read_bytes()[:size])
    assert run(model, *words, "--resume") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert str(path) in error
    assert message in error
    assert "copy it back, or run again into another folder" in error
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    kept.rename(path)
    assert run(model, *words, "--resume") == 0
    assert (tmp_path / "out/drive/bag/metadata.yaml").read_bytes() == whole
    assert len(received(tmp_path / "out/drive/bag")) == 2 * COUNT


def test_a_folder_in_the_pages_place_is_not_reported_as_a_full_disk(model, folder, tmp_path, capsys):
    words = (folder, "-o", tmp_path / "out", "--focal", FOCAL, "--write", "png16,html")
    (tmp_path / "out/index.html").mkdir(parents=True)
    assert run(model, *words) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "index.html: Is a directory; 3 frames were done by then" in error
    assert "check the path and your access to it, and run again with --resume" in error


def test_files_are_on_the_disk_before_the_manifest_names_them(model, folder, tmp_path, monkeypatch):
    from metric3d_ros.runs.outputs import part_files

    saved, named = set(), []
    save, append = part_files.save_to_disk, Manifest.append

    def save_and_note(path):
        save(path)
        saved.add(path.name)

    def append_what_is_saved(self, chunk, lines, **options):
        named.extend(file.rpartition("/")[2] for line in lines for file in line["files"])
        assert set(named) <= saved
        append(self, chunk, lines, **options)

    monkeypatch.setattr(part_files, "save_to_disk", save_and_note)
    monkeypatch.setattr(Manifest, "append", append_what_is_saved)
    assert run(model, folder, "-o", tmp_path / "out", "--focal", FOCAL, "--write", "png16,npz,html", "--chunk", 2) == 0
    assert {"view_0.png", "view_2.npz"} <= set(named)
