"""Opening a bag of any kind: what is no bag, what is damaged, and what is kept open."""

import sys

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

from made_bags import DELAY_NS, stamps, write_ros1, write_ros2
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from metric3d_ros.errors import DataError
from metric3d_ros.recordings.bags import reader
from metric3d_ros.recordings.bags.reader import IMAGE, Bag, is_bag, kept_bag, release_bag
from metric3d_ros.recordings.bags.writer import BagPart

TOPIC = "/camera/image_raw"


@pytest.fixture
def bag(tmp_path):
    return write_ros2(tmp_path / "drive", 3)


def test_a_bag_is_known_by_its_name_or_by_the_files_in_it(bag, tmp_path):
    assert is_bag(bag)
    (bag / "metadata.yaml").unlink()
    assert is_bag(bag)
    assert is_bag(tmp_path / "ROS1.BAG")
    assert not is_bag(tmp_path)
    assert not is_bag(tmp_path / "drive.mp4")


def test_without_rosbags_the_remedy_is_one_line(bag, monkeypatch):
    monkeypatch.setitem(sys.modules, "rosbags.highlevel", None)
    with pytest.raises(DataError, match=r"reading bags needs rosbags: pip install '\.\[bags\]' in the source folder$"):
        Bag(bag)


def test_what_is_no_bag_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"there is no bag .*gone; expected a rosbag2 folder, \.mcap, \.db3 or \.bag$"):
        Bag(tmp_path / "gone")
    with pytest.raises(DataError, match=r"cannot be read: it holds no storage file$"):
        Bag(tmp_path)


def test_metadata_that_is_too_large_is_ignored_and_the_bag_refused_if_nothing_else_is_left(bag, monkeypatch):
    monkeypatch.setattr(reader, "_MOST_METADATA_BYTES", 100)
    with Bag(bag) as opened:
        assert opened.count(TOPIC) == 3
        assert any("expected at most 100" in remark for remark in opened.remarks)
    next(bag.glob("*.mcap")).unlink()
    with pytest.raises(DataError, match="cannot be read: it holds no storage file"):
        Bag(bag)


def test_an_empty_bag_has_no_span(tmp_path):
    with Writer(tmp_path / "drive", version=9, storage_plugin=StoragePlugin.MCAP):
        pass
    with Bag(tmp_path / "drive") as opened:
        assert opened.span_ns == (0, 0)
        assert opened.connections == []
        assert list(opened.messages([])) == []


def test_messages_are_those_of_a_span_and_can_be_read(bag):
    times = [stamp + DELAY_NS for stamp in stamps(3)]
    with Bag(bag) as opened:
        assert opened.span_ns == (times[0], times[-1] + 1)
        connections = opened.of_type(IMAGE)[TOPIC]
        found = list(opened.messages(connections, start_ns=times[1], stop_ns=times[2]))
        assert [(connection.topic, time_ns) for connection, time_ns, _ in found] == [(TOPIC, times[1])]
        data = found[0][2]
        assert opened.deserialize(data, IMAGE).encoding == "rgb8"
        assert opened.to_ros2(data, IMAGE) is data
        with pytest.raises(DataError, match=f"^a {IMAGE} cannot be deserialised: "):
            opened.deserialize(data[:20], IMAGE)


def test_a_message_of_ros_1_is_what_ros_2_reads(tmp_path, bag):
    with Bag(write_ros1(tmp_path / "drive.bag", 1)) as old, Bag(bag) as new:
        ((_, _, data),) = old.messages(old.of_type(IMAGE)[TOPIC])
        converted = new.deserialize(bytes(old.to_ros2(data, IMAGE)), IMAGE)
        assert (converted.height, converted.width, converted.encoding) == (48, 64, "rgb8")
        assert converted.data.tolist() == old.deserialize(data, IMAGE).data.tolist()
        assert old.ros2_typestore.hash_rihs01(IMAGE) == new.typestore.hash_rihs01(IMAGE)
        with pytest.raises(DataError, match=f"^a {IMAGE} cannot be converted for ROS 2: "):
            old.to_ros2(data[:20], IMAGE)


def test_transforms_of_ros_1_have_the_type_that_ros_2_listens_to(tmp_path):
    old_type, new_type = "tf/msg/tfMessage", "tf2_msgs/msg/TFMessage"
    noetic, jazzy = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_JAZZY)
    noetic.register({old_type: jazzy.fielddefs[new_type]})
    types = noetic.types
    header = types["std_msgs/msg/Header"](seq=7, stamp=types["builtin_interfaces/msg/Time"](1, 2), frame_id="base_link")
    position = types["geometry_msgs/msg/Vector3"](1.0, 2.0, 3.0)
    turn = types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    pose = types["geometry_msgs/msg/Transform"](translation=position, rotation=turn)
    transform = types["geometry_msgs/msg/TransformStamped"](header=header, child_frame_id="camera", transform=pose)
    with Writer1(tmp_path / "old.bag") as writer:
        topic = writer.add_connection("/tf", old_type, typestore=noetic)
        writer.write(topic, 5, noetic.serialize_ros1(types[old_type]([transform]), old_type))
    part = BagPart(tmp_path / "new")
    with Bag(tmp_path / "old.bag") as old:
        for connection, received_ns, data in old.messages(old.connections):
            part.copy(connection, old, data, received_ns)
        assert old.ros2_type("sensor_msgs/msg/Image") == "sensor_msgs/msg/Image"
    part.close()
    with Bag(tmp_path / "new") as new:
        ((connection, received_ns, data),) = new.messages(new.connections)
        (read,) = jazzy.deserialize_cdr(data, new_type).transforms
    assert (connection.topic, connection.msgtype, received_ns) == ("/tf", new_type, 5)
    assert connection.digest == jazzy.hash_rihs01(new_type)
    assert (read.header.frame_id, read.child_frame_id, read.transform.translation.z) == ("base_link", "camera", 3.0)


def test_reading_that_stops_early_keeps_what_came(bag, monkeypatch):
    with Bag(bag) as opened:
        whole = list(opened.messages(opened.of_type(IMAGE)[TOPIC]))

        def broken(**_):
            yield whole[0]
            raise ValueError("a damaged\n  record")

        monkeypatch.setattr(opened._reader, "messages", broken)
        assert list(opened.messages(opened.of_type(IMAGE)[TOPIC])) == whole[:1]
        assert opened.remarks == ["reading stopped early: a damaged record"]


def test_one_bag_stays_open_for_the_next_call_of_a_thread(bag, tmp_path):
    other = write_ros2(tmp_path / "other", 1)
    with kept_bag(str(bag)) as first, kept_bag(str(bag)) as within:
        assert within is not first
    with kept_bag(str(bag)) as again:
        assert again is first
    with kept_bag(str(other)) as second:
        assert second is not first
    release_bag()
    with kept_bag(str(other)) as third:
        assert third is not second
    release_bag()
    release_bag()
