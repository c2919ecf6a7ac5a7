"""Bags that are broken: one line tells how, and what can be read of them is done."""

import json
import os
import re

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from made_bags import CompressionMode, StoragePlugin, write_ros1, write_ros2
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

from metric3d_ros.cli import main

COUNT = 200
"""Enough images for several chunks of an mcap file."""


@pytest.fixture
def run(model, tmp_path, capsys):
    """Run a bag; return the exit status, the frames that were done, and all lines."""

    def run(*words):
        out = tmp_path / "out"
        options = ["--model", str(model), "--provider", "cpu", "--threads", "1"]
        status = main(["run", *map(str, words), "-o", str(out), *options])
        path = out / "manifest.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        captured = capsys.readouterr()
        text = captured.out + captured.err
        assert "Traceback" not in text
        return status, [line["frame"] for line in lines if "frame" in line and "failed" not in line], text

    return run


def file_of(bag):
    return next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def test_an_mcap_that_was_cut_off_gives_what_is_complete(run, tmp_path):
    bag = write_ros2(tmp_path / "drive", COUNT)
    cut(file_of(bag), 0.7)
    status, frames, text = run(bag)
    assert status == 0
    assert 0.4 * COUNT < len(frames) < 0.75 * COUNT
    assert "was cut off; what is complete in it was read" in text


def test_an_mcap_of_a_few_bytes_is_refused(run, tmp_path):
    bag = write_ros2(tmp_path / "drive", 2)
    file_of(bag).write_bytes(file_of(bag).read_bytes()[:30])
    status, frames, text = run(bag)
    assert (status, frames) == (1, [])
    assert "drive" in text


def test_a_database_that_was_cut_off_gives_one_line(run, tmp_path):
    bag = write_ros2(tmp_path / "drive", COUNT, storage=StoragePlugin.SQLITE3)
    cut(file_of(bag), 0.5)
    status, frames, text = run(bag)
    assert "malformed" in text or "cannot be read" in text
    assert status in (0, 1)
    assert len(frames) < COUNT


def test_a_ros_1_bag_that_was_cut_off_gives_one_line(run, tmp_path):
    bag = write_ros1(tmp_path / "drive.bag", 20)
    cut(bag, 0.5)
    status, frames, text = run(bag)
    assert (status, frames) == (1, [])
    assert "drive.bag cannot be read" in text


def test_a_pipe_is_refused_at_once(run, tmp_path):
    os.mkfifo(tmp_path / "drive.mcap")
    status, _, text = run(tmp_path / "drive.mcap")
    assert status == 1
    assert "drive.mcap is not a file" in text


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_compressed_file_that_was_cut_off_gives_one_line(run, tmp_path, storage):
    bag = write_ros2(tmp_path / "drive", 20, storage=storage, compression=CompressionMode.FILE)
    (file,) = bag.glob("*.zstd")
    cut(file, 0.5)
    status, _, text = run(bag)
    assert status == 1
    assert "drive cannot be read: Compressed file ended" in text
    assert "without it" not in text


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        (r"message_count: 6", "message_count: 999999"),
        (r"message_count: 12", "message_count: 3"),
        (r"nanoseconds_since_epoch: \d+", "nanoseconds_since_epoch: 5"),
        (r"nanoseconds: \d+", "nanoseconds: 7"),
    ],
)
@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_metadata_that_contradict_the_files_are_done_without(run, tmp_path, storage, pattern, wrong):
    bag = write_ros2(tmp_path / "drive", 6, storage=storage)
    metadata = bag / "metadata.yaml"
    metadata.write_text(re.sub(pattern, wrong, metadata.read_text()))
    status, frames, text = run(bag)
    assert (status, len(frames)) == (0, 6)
    assert "about 6 frames" in text
    assert "metadata.yaml does not fit the bag" in text


@pytest.mark.parametrize("damage", ["missing", "nonsense", "other files"])
def test_metadata_that_is_missing_or_wrong_is_done_without(run, tmp_path, damage):
    bag = write_ros2(tmp_path / "drive", 6)
    metadata = bag / "metadata.yaml"
    if damage == "missing":
        metadata.unlink()
    elif damage == "nonsense":
        metadata.write_text("rosbag2_bagfile_information: [")
    else:
        metadata.write_text(metadata.read_text().replace("drive.mcap", "elsewhere.mcap"))
    status, frames, text = run(bag)
    assert (status, len(frames)) == (0, 6)
    assert "metadata.yaml" in text


def test_a_bag_without_images_names_its_topics(run, tmp_path):
    store, path = get_typestore(Stores.ROS2_JAZZY), tmp_path / "drive"
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topic = writer.add_connection("/chatter", "std_msgs/msg/String", typestore=store)
        message = store.types["std_msgs/msg/String"]("hello")
        writer.write(topic, 1, store.serialize_cdr(message, "std_msgs/msg/String"))
    status, _, text = run(path)
    assert status == 1
    assert "no topic with camera images; there are /chatter (std_msgs/msg/String)" in text


def test_a_bag_without_camera_info_asks_for_a_focal_length(run, tmp_path):
    bag = write_ros2(tmp_path / "drive", 6, with_info=False)
    status, _, text = run(bag)
    assert status == 1
    assert "give --focal PX, --hfov DEG or --calibration FILE" in text
    assert run(bag, "--focal", 60)[:1] == (0,)


def test_topics_of_unknown_types_do_not_disturb(run, tmp_path):
    store, path = get_typestore(Stores.ROS2_JAZZY), write_ros2(tmp_path / "drive", 6)
    other = tmp_path / "with_more"
    from rosbags.highlevel import AnyReader

    with AnyReader([path]) as reader, Writer(other, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {c.topic: writer.add_connection(c.topic, c.msgtype, typestore=store) for c in reader.connections}
        unknown = writer.add_connection(
            "/secret", "acme_msgs/msg/Secret", msgdef="uint8 a\n", rihs01="RIHS01_" + "0" * 64
        )
        for connection, received_ns, data in reader.messages():
            writer.write(topics[connection.topic], received_ns, data)
            writer.write(unknown, received_ns, b"\0\1\0\0\7")
    status, frames, text = run(other)
    if status:
        assert "acme_msgs" in text
    else:
        assert len(frames) == 6


def test_stamps_that_go_backwards_are_reported_and_done(run, tmp_path):
    times = [10**18 + number * 10**8 for number in (0, 1, 5, 2, 3, 4)]
    status, frames, text = run(write_ros2(tmp_path / "drive", 6, stamps_ns=times))
    assert (status, len(frames)) == (0, 6)
    assert "stamps go backwards" in text


def test_corrupt_jpegs_in_the_middle_fail_alone(run, tmp_path):
    import cv2
    from made_bags import messages, picture, stamps

    store, path = get_typestore(Stores.ROS2_HUMBLE), tmp_path / "drive"
    kind, info_kind = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
    with Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        images = writer.add_connection("/cam/image_raw/compressed", kind, typestore=store)
        infos = writer.add_connection("/cam/camera_info", info_kind, typestore=store)
        for number, stamp in enumerate(stamps(6)):
            image, info = messages(store, stamp, picture(number))
            jpeg = cv2.imencode(".jpg", picture(number))[1].reshape(-1)
            if number in (2, 4):
                jpeg = jpeg[: len(jpeg) // 3] if number == 2 else np.zeros(50, np.uint8)
            message = store.types[kind](header=image.header, format="rgb8; jpeg compressed bgr8", data=jpeg)
            writer.write(infos, stamp, store.serialize_cdr(info, info_kind))
            writer.write(images, stamp, store.serialize_cdr(message, kind))
    status, frames, text = run(path)
    assert (status, len(frames)) == (1, 4)
    assert "2 failed" in text


def test_an_input_that_is_broken_leaves_the_others_unless_strict(run, tmp_path):
    good = write_ros2(tmp_path / "good", 3)
    bad = tmp_path / "bad.mcap"
    bad.write_bytes(b"no bag")
    status, frames, text = run(bad, good, "--strict")
    assert (status, frames) == (1, [])
    status, frames, text = run(bad, good)
    assert (status, len(frames)) == (1, 3)
    assert "left out" in text


def test_a_bag_whose_metadata_state_any_number_of_images_is_planned_by_its_bytes(run, tmp_path):
    bag = write_ros2(tmp_path / "drive", 6)
    about = bag / "metadata.yaml"
    about.write_text(re.sub(r"message_count: \d+", "message_count: 1000000000000000000", about.read_text()))
    status, frames, _ = run(bag, "--focal", 60)
    assert status == 0
    assert len(frames) == 6
