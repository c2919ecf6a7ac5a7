"""What a run wrote of itself is read within limits, and whatever became of it is one line with the file's name."""

import dataclasses
import json

import pytest
from damaged_copies import check_damaged

from metric3d_ros.errors import DataError
from metric3d_ros.recordings.bags.writer import write_metadata
from metric3d_ros.runs import manifest_lines
from metric3d_ros.runs.manifest import Manifest
from metric3d_ros.runs.outputs.page import write_page
from metric3d_ros.runs.sources.frame import Chunk

CHUNK = Chunk(recording="drive", number=0, start=0, stop=2)
SETTINGS = {"inputs": {"drive": "drive"}, "options": {"write": ["png16"]}}


def line(name):
    return {
        "recording": "drive",
        "source": "drive",
        "frame": name,
        "stamp_ns": 5,
        "received_ns": 6,
        "camera": {"width": 64, "height": 48, "fx": 50.0},
        "focal_px": 50.0,
        "focal_from": "--focal",
        "depth_m": {"p5": 1.0, "p50": None, "p95": 2},
        "files": [f"drive/pictures/{name}.jpg"],
    }


@pytest.fixture
def folder(tmp_path):
    """A run of two frames, one of which failed."""
    folder = tmp_path / "run"
    manifest = Manifest(folder, SETTINGS, resume=False)
    failed = {"recording": "drive", "source": "drive", "frame": "b", "failed": "truncated"}
    manifest.append(CHUNK, [line("a"), failed], complete=True, bag_file="drive_00000.mcap", videos={"": "drive.mp4"})
    return folder


def load(folder):
    """Read a run as far as its files need it; return the manifest."""
    manifest = Manifest(folder, SETTINGS, resume=True)
    manifest.is_done(CHUNK)
    manifest.part_name(CHUNK)
    manifest.done_before("drive")
    manifest.has_failures(CHUNK)
    manifest.bag_files("drive")
    manifest.video_files("drive")
    if manifest.frames:
        write_page(folder / "index.html", manifest.frames)
    return manifest


def test_a_manifest_reads_back_as_it_was_written(folder):
    manifest = load(folder)
    assert [frame["frame"] for frame in manifest.frames] == ["a"]
    assert [frame["failed"] for frame in manifest.failures_in([CHUNK])] == ["truncated"]
    assert manifest.is_done(CHUNK)
    assert manifest.bag_files("drive") == ["drive_00000.mcap"]


def test_a_run_of_which_nothing_was_done_is_in_nobodys_way(tmp_path):
    other = {**SETTINGS, "model": "vit_smal"}  # which does not exist
    Manifest(tmp_path, other, resume=False)
    Manifest(tmp_path, SETTINGS, resume=False)
    Manifest(tmp_path, other, resume=True)
    assert json.loads((tmp_path / "run.json").read_text()) == other


def test_a_last_line_that_was_not_finished_is_taken_off(folder):
    path = folder / "manifest.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"frame": "c')
    load(folder)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("limit", "most", "message"),
    [
        ("MOST_BYTES", 100, "has {size} bytes, expected at most 100"),
        ("MOST_LINE_BYTES", 80, "line 1 has over 80 bytes"),
    ],
)
def test_a_manifest_beyond_its_limits_is_named_with_them(folder, monkeypatch, limit, most, message):
    monkeypatch.setattr(manifest_lines, limit, most)
    path = folder / "manifest.jsonl"
    before = path.read_bytes()
    with pytest.raises(DataError) as error:
        load(folder)
    assert str(path) in str(error.value)
    assert message.format(size=len(before)) in str(error.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": 5}, "frame is 5"),
        ({"received_ns": True}, "received_ns is True"),
        ({"camera": {"width": 64}}, "camera.height is missing"),
        ({"depth_m": []}, "depth_m.p5 is missing"),
        ({"files": [1]}, "files is 1"),
        ({"failed": None}, "failed is None"),
    ],
)
def test_a_line_that_no_run_has_written_is_named(folder, changes, message):
    path = folder / "manifest.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(line("c") | changes) + "\n")
    with pytest.raises(DataError, match="line 4 is no readable line of a manifest") as error:
        load(folder)
    assert message in str(error.value)


def change_chunk(folder, **changes):
    path = folder / "manifest.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], json.dumps(json.loads(lines[-1]) | changes)]) + "\n")


@pytest.mark.parametrize("name", ["../../other.mcap", "/etc/passwd", ".hidden", 5])
@pytest.mark.parametrize("key", ["bag_file", "video_file"])
def test_files_of_a_chunk_are_in_the_folder_of_the_run(folder, key, name):
    change_chunk(folder, **{key: name})
    with pytest.raises(DataError, match=f"{key} is"):
        load(folder)


@pytest.mark.parametrize("name", ["../../other.mp4", "/etc/passwd", ".hidden", 5])
def test_videos_of_a_chunk_are_in_the_folder_of_the_run(folder, name):
    change_chunk(folder, video_files={"left": name})
    with pytest.raises(DataError, match=r"video_files\.left is"):
        load(folder)


@pytest.mark.parametrize("stream", ["../left", "/left", ".left"])
def test_a_stream_whose_video_would_be_elsewhere_is_refused(folder, stream):
    change_chunk(folder, video_files={stream: "drive.mp4"})
    with pytest.raises(DataError, match="a stream of video_files is"):
        load(folder)


def test_videos_are_those_of_each_stream_in_the_order_of_the_recording(folder):
    assert load(folder).video_files("drive") == {"": ["drive.mp4"]}
    manifest = Manifest(folder, SETTINGS, resume=True)
    for number, streams in ((2, ("left", "right")), (1, ("left",))):
        chunk = dataclasses.replace(CHUNK, number=number)
        videos = {stream: f"{number}.{stream}.mp4" for stream in streams}
        manifest.append(chunk, [line(f"frame {number}")], complete=True, videos=videos)
    assert load(folder).video_files("drive") == {
        "": ["drive.mp4"],
        "left": ["1.left.mp4", "2.left.mp4"],
        "right": ["2.right.mp4"],
    }


def damaged_runs(folder, file, seeds):
    """Load a run with a damaged manifest, or damaged settings, for each seed; return how many were refused."""
    good = folder.parent / file
    good.write_bytes((folder / file).read_bytes())
    return check_damaged(lambda _: load(folder), good, folder / file, seeds)


@pytest.mark.parametrize("file", ["manifest.jsonl", "run.json"])
def test_a_damaged_run_is_one_line_or_harmless(folder, file):
    assert damaged_runs(folder, file, range(100)) > 30


@pytest.mark.slow
@pytest.mark.parametrize("file", ["manifest.jsonl", "run.json"])
def test_two_thousand_damaged_runs_are_one_line_or_harmless(folder, file):
    assert damaged_runs(folder, file, range(1000, 3000)) > 600


METADATA = """\
rosbag2_bagfile_information:
  version: 9
  storage_identifier: mcap
  duration: {nanoseconds: 5}
  starting_time: {nanoseconds_since_epoch: 7}
  message_count: 2
  topics_with_message_count:
  - topic_metadata: {name: /depth, type: sensor_msgs/msg/Image, serialization_format: cdr}
    message_count: 2
  files:
  - {path: a.mcap, starting_time: {nanoseconds_since_epoch: 7}, duration: {nanoseconds: 5}, message_count: 2}
"""


def damaged_metadata(folder, seeds):
    """Gather a damaged description of a part for each seed; return how many were refused."""
    good = folder.parent / "good.yaml"
    good.write_text(METADATA)

    def gather(path):
        (folder / ".a.mcap.yaml").write_bytes(path.read_bytes())
        (folder / "a.mcap").touch()
        write_metadata(folder, ["a.mcap"])

    return check_damaged(gather, good, folder / ".a.mcap.yaml", seeds)


def test_damaged_metadata_of_a_part_are_one_line_or_harmless(tmp_path):
    bag = tmp_path / "bag"
    bag.mkdir()
    assert damaged_metadata(bag, range(100)) > 20


@pytest.mark.slow
def test_two_thousand_damaged_metadata_are_one_line_or_harmless(tmp_path):
    bag = tmp_path / "bag"
    bag.mkdir()
    assert damaged_metadata(bag, range(1000, 3000)) > 400
