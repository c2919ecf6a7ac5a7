"""`metric3d run` on bags: what comes out is the node's, with the recording's stamps; whatever the bag's form."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from made_bags import (
    DELAY_NS,
    FX,
    HEIGHT,
    WIDTH,
    CompressionMode,
    StoragePlugin,
    picture,
    stamps,
    write_ros1,
    write_ros2,
)
from made_bags import messages as made_messages
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_typestore

import metric3d_ros
from metric3d_ros.cli import main
from metric3d_ros.messages import image_to_array
from metric3d_ros.recordings.bags.reader import Bag
from metric3d_ros.recordings.bags.writer import remove_parts
from metric3d_ros.runs.sources.bag_images import _Infos

COUNT = 6


def run(model, *words):
    return main(["run", *map(str, words), "--model", str(model), "--provider", "cpu", "--threads", "1"])


def messages_of(bag):
    with AnyReader([bag]) as reader:
        return [(c.topic, t, reader.deserialize(data, c.msgtype)) for c, t, data in reader.messages()]


def manifest(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


FORMS = {
    "mcap": lambda path: write_ros2(path),
    "sqlite3": lambda path: write_ros2(path, storage=StoragePlugin.SQLITE3),
    "zstd by file": lambda path: write_ros2(path, storage=StoragePlugin.SQLITE3, compression=CompressionMode.FILE),
    "zstd by message": lambda path: write_ros2(path, compression=CompressionMode.MESSAGE),
    "mcap's own zstd": lambda path: write_ros2(path, compression=CompressionMode.STORAGE),
    "a single mcap": lambda path: write_ros2(path) / f"{path.name}.mcap",
    "ROS 1": lambda path: write_ros1(path.with_suffix(".bag")),
}


@pytest.mark.parametrize("form", FORMS)
def test_depth_of_each_image_has_its_stamp_frame_and_receive_time(model, tmp_path, form):
    bag = FORMS[form](tmp_path / "drive")
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag", "--chunk", 4) == 0
    estimator = metric3d_ros.load(model, provider="cpu", threads=1)
    came = messages_of(tmp_path / "out/drive/bag")
    depths = [(t, m) for topic, t, m in came if topic == "/camera/depth/image"]
    infos = [(t, m) for topic, t, m in came if topic == "/camera/depth/camera_info"]
    assert [t for t, _ in depths] == [t for t, _ in infos] == [stamp + DELAY_NS for stamp in stamps(COUNT)]
    camera = metric3d_ros.Camera(WIDTH, HEIGHT, FX, FX + 1, WIDTH / 2 - 2, HEIGHT / 2 + 1)
    for number, ((_, depth), (_, info)) in enumerate(zip(depths, infos, strict=True)):
        stamp = depth.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == stamps(COUNT)[number]
        assert depth.header.frame_id.startswith("camera")
        assert (info.header, list(info.k[:3])) == (depth.header, [FX, 0.0, WIDTH / 2 - 2])
        expected = estimator.estimate(picture(number), camera).depth_m
        np.testing.assert_array_equal(image_to_array(depth).array, expected)


def test_several_cameras_go_to_topics_of_their_own(model, tmp_path):
    bag = write_ros2(tmp_path / "drive", cameras=("/front", "/rear"))
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag,png16") == 0
    topics = {topic for topic, _, _ in messages_of(tmp_path / "out/drive/bag")}
    assert {"/front/depth/image", "/rear/depth/image", "/front/points", "/rear/points"} <= topics
    for stream in ("front_image_raw", "rear_image_raw"):
        assert len(list((tmp_path / "out/drive/png16" / stream).glob("*.png"))) == COUNT


def test_a_merged_bag_has_the_recordings_messages_too_and_their_qos(model, tmp_path):
    bag = write_ros2(tmp_path / "drive", with_static=True)
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag", "--merge", "--chunk", 2) == 0
    with AnyReader([bag]) as before, AnyReader([tmp_path / "out/drive/bag"]) as after:
        kept = [(c.topic, t, d) for c, t, d in before.messages()]
        names = {c.topic for c in before.connections}
        merged = [(c.topic, t, d) for c, t, d in after.messages() if c.topic in names]
        assert sorted(merged, key=str) == sorted(kept, key=str)
        (static,) = [c for c in after.connections if c.topic == "/tf_static"]
        assert static.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"
        hashes = {c.topic: c.digest for c in before.connections}
        assert {c.topic: c.digest for c in after.connections if c.topic in names} == hashes


def test_messages_of_a_ros_1_bag_are_merged_as_those_of_ros_2(model, tmp_path):
    bag = write_ros1(tmp_path / "drive.bag")
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag", "--merge", "--chunk", 2) == 0
    merged = messages_of(tmp_path / "out/drive/bag")
    images = [message for topic, _, message in merged if topic == "/camera/image_raw"]
    infos = [message for topic, _, message in merged if topic == "/camera/camera_info"]
    assert len(images) == len(infos) == COUNT
    for number, (image, info) in enumerate(zip(images, infos, strict=True)):
        np.testing.assert_array_equal(image_to_array(image).array, picture(number))
        stamp = image.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == stamps(COUNT)[number]
        assert image.header == info.header
        assert info.header.frame_id == "camera_optical_frame"
        assert (info.height, info.width, info.k[0]) == (HEIGHT, WIDTH, FX)


def test_a_latched_topic_of_a_ros_1_bag_comes_along_without_merge(model, tmp_path):
    store, kind = get_typestore(Stores.ROS1_NOETIC), "sensor_msgs/msg/CameraInfo"
    image, info = made_messages(store, stamps(1)[0], picture(0), ros1=True)
    with Writer1(tmp_path / "drive.bag") as writer:
        latched = writer.add_connection("/camera/camera_info", kind, typestore=store, latching=1)
        images = writer.add_connection("/camera/image_raw", "sensor_msgs/msg/Image", typestore=store)
        writer.write(latched, stamps(1)[0], store.serialize_ros1(info, kind))
        writer.write(images, stamps(1)[0] + DELAY_NS, store.serialize_ros1(image, image.__msgtype__))
    assert run(model, tmp_path / "drive.bag", "-o", tmp_path / "out", "--write", "bag", "--outputs", "depth") == 0
    came = {topic: message for topic, _, message in messages_of(tmp_path / "out/drive/bag")}
    assert came.keys() == {"/camera/camera_info", "/camera/depth/image", "/camera/depth/camera_info"}
    assert came["/camera/camera_info"].k.tolist() == info.K.tolist()
    assert came["/camera/camera_info"].header.frame_id == "camera_optical_frame"


def test_latched_transforms_come_along_without_merge_and_nothing_else(model, tmp_path):
    bag = write_ros2(tmp_path / "drive", with_static=True)
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag", "--outputs", "depth") == 0
    topics = {topic for topic, _, _ in messages_of(tmp_path / "out/drive/bag")}
    assert topics == {"/tf_static", "/camera/depth/image", "/camera/depth/camera_info"}


def test_mcaps_own_reader_reads_the_bag(model, tmp_path):
    make_reader = pytest.importorskip("mcap.reader", reason="mcap is not installed").make_reader
    bag = write_ros2(tmp_path / "drive")
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag") == 0
    (file,) = (tmp_path / "out/drive/bag").glob("*.mcap")
    with file.open("rb") as stream:
        reader = make_reader(stream)
        summary = reader.get_summary()
        counts = {summary.channels[i].topic: n for i, n in summary.statistics.channel_message_counts.items()}
        assert counts["/camera/depth/image"] == counts["/camera/points"] == COUNT
        assert sum(1 for _ in reader.iter_messages()) == summary.statistics.message_count


def test_an_interrupted_run_is_resumed_without_doing_anything_twice(model, tmp_path):
    bag, out = write_ros2(tmp_path / "drive"), tmp_path / "out"
    words = (bag, "-o", out, "--write", "bag,png16", "--chunk", 2)
    assert run(model, *words, "--limit", 3) == 0
    first = [line["frame"] for line in manifest(out) if "frame" in line]
    assert len(first) == 3
    assert run(model, *words, "--limit", 3) == 1, "the folder holds a run"
    assert run(model, *words, "--resume") == 0
    frames = [line["frame"] for line in manifest(out) if "frame" in line]
    assert len(frames) == len(set(frames)) == COUNT
    assert frames[: len(first)] == first
    times = [t for topic, t, _ in messages_of(out / "drive/bag") if topic == "/camera/depth/image"]
    assert times == [stamp + DELAY_NS for stamp in stamps(COUNT)]
    assert run(model, *words, "--resume") == 0
    assert [line["frame"] for line in manifest(out) if "frame" in line] == frames


@pytest.mark.parametrize("lines", [1, 2, 2.5, 3, 4, 5, 5.5])
def test_a_torn_manifest_is_done_again(model, tmp_path, lines):
    """Lines of two frames and one of their chunk, three times; cut in a line or between two."""
    bag, out = write_ros2(tmp_path / "drive"), tmp_path / "out"
    words = (bag, "-o", out, "--write", "png16,bag", "--chunk", 2)
    assert run(model, *words) == 0
    path = out / "manifest.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    half = whole[int(lines)][: len(whole[int(lines)]) // 2] if lines % 1 else b""
    path.write_bytes(b"".join(whole[: int(lines)]) + half)
    assert run(model, *words, "--resume") == 0
    frames = [line["frame"] for line in manifest(out) if "frame" in line]
    assert len(frames) == len(set(frames)) == COUNT
    depths = [t for topic, t, _ in messages_of(out / "drive/bag") if topic == "/camera/depth/image"]
    assert depths == [stamp + DELAY_NS for stamp in stamps(COUNT)]


def test_other_options_do_not_continue_a_run(model, tmp_path, capsys):
    bag, out = write_ros2(tmp_path / "drive"), tmp_path / "out"
    assert run(model, bag, "-o", out) == 0
    assert run(model, bag, "-o", out, "--resume", "--param", "depth.max_m=3") == 1
    error = capsys.readouterr().err
    assert f"the run of {out}/run.json was begun with other options: --param depth.max_m was not given, now 3;" in error


def test_a_dry_run_estimates_and_writes_nothing(model, tmp_path, capsys):
    bag = write_ros2(tmp_path / "drive")
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag", "--dry-run") == 0
    assert not (tmp_path / "out").exists()
    assert "would write bag of about 6 frames" in capsys.readouterr().out


def test_frames_of_a_bag_come_with_their_cameras(tmp_path):
    frames = list(metric3d_ros.frames(write_ros2(tmp_path / "drive")))
    assert [frame.stamp_ns for frame in frames] == stamps(COUNT)
    assert all(frame.camera.fx == FX and "camera_info" in frame.focal_from for frame in frames)
    np.testing.assert_array_equal(frames[3].rgb, picture(3))


def test_metadata_of_several_parts_add_up(model, tmp_path):
    import yaml

    bag = write_ros2(tmp_path / "drive")
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag", "--outputs", "depth", "--chunk", 2) == 0
    folder = tmp_path / "out/drive/bag"
    about = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    files = about["relative_file_paths"]
    assert len(files) == 3
    assert sorted(files) == sorted(path.name for path in Path(folder).glob("*.mcap"))
    assert about["message_count"] == 2 * COUNT == sum(each["message_count"] for each in about["files"])
    assert {each["message_count"] for each in about["topics_with_message_count"]} == {COUNT}
    assert about["duration"]["nanoseconds"] == stamps(COUNT)[-1] - stamps(COUNT)[0]


def test_a_frame_is_there_before_the_whole_bag_is_read(tmp_path, monkeypatch):
    """A bag of 20 GB opens in seconds: camera_info is read for a few seconds of it at a time."""
    bag, stops = write_ros2(tmp_path / "drive", 300), []
    messages = Bag.messages

    def noted(self, connections, *, start_ns=None, stop_ns=None):
        stops.append(stop_ns)
        return messages(self, connections, start_ns=start_ns, stop_ns=stop_ns)

    monkeypatch.setattr(Bag, "messages", noted)
    frames = metric3d_ros.frames(bag)
    first = next(frames)
    (images, infos) = stops
    assert infos - first.received_ns == 12_000_000_000
    assert images > stamps(300)[-1]
    assert sum(1 for _ in frames) == 299
    assert len(stops) == 1 + 3, "30 s are three spans"


def test_camera_info_is_read_once_for_all_chunks_of_a_span(model, tmp_path, monkeypatch):
    bag, read = write_ros2(tmp_path / "drive", 90), []
    load = _Infos._load

    def noted(self, span):
        read.append(span)
        load(self, span)

    monkeypatch.setattr(_Infos, "_load", noted)
    assert run(model, bag, "-o", tmp_path / "out", "--chunk", 10) == 0
    assert read == [0, 0], "for the plan, in this thread, and for the run"


def test_frames_of_two_bags_come_in_turn(tmp_path):
    front, rear = write_ros2(tmp_path / "front"), write_ros2(tmp_path / "rear", cameras=("/rear",))
    pairs = list(zip(metric3d_ros.frames(front), metric3d_ros.frames(rear), metric3d_ros.frames(front), strict=True))
    assert [tuple(frame.stamp_ns for frame in pair) for pair in pairs] == [(stamp,) * 3 for stamp in stamps(COUNT)]
    for number, pair in enumerate(pairs):
        for frame in pair:
            np.testing.assert_array_equal(frame.rgb, picture(number))


def test_a_bag_that_begins_long_before_its_first_image_is_planned_by_that_image(model, tmp_path, capsys):
    bag = write_ros2(tmp_path / "drive", COUNT, with_static=True)
    assert run(model, bag, "-o", tmp_path / "out", "--dry-run") == 0
    output = capsys.readouterr()
    assert "focal length 60.5 px for 64x48, from camera_info" in output.err
    assert f"would write png16 of about {COUNT} frames" in output.out


def test_bags_of_others_in_the_folder_of_results_stay(model, tmp_path):
    mine = tmp_path / "out/drive/bag/mine.mcap"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"of another program")
    bag = write_ros2(tmp_path / "drive")
    assert run(model, bag, "-o", tmp_path / "out", "--write", "bag", "--outputs", "depth", "--chunk", 2) == 0
    assert mine.read_bytes() == b"of another program"
    remove_parts(mine.parent)
    assert list(mine.parent.iterdir()) == [mine]
