"""Bags that grow part by part: many topics and QoS profiles."""

import pytest

pytest.importorskip("rosbags", reason="rosbags is not installed: pip install 'metric3d_ros[bags]'")

import yaml
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from metric3d_ros.files.yaml_text import MOST_BYTES, MOST_NODES
from metric3d_ros.recordings.bags.reader import Bag
from metric3d_ros.recordings.bags.writer import BagPart, add_part, output_qos, write_metadata

START_NS, KIND = 1_700_000_000_000_000_000, "std_msgs/msg/Int32"
PROFILES, TOPICS = 360, 1600


def test_a_topic_of_hundreds_of_publishers_is_copied_with_all_their_qos_profiles(tmp_path):
    """As /rosout has of a robot: one for each node."""
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(tmp_path / "drive", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        qos = [output_qos()] * PROFILES
        connection = writer.add_connection("/rosout", KIND, typestore=store, offered_qos_profiles=qos)
        writer.write(connection, START_NS, store.serialize_cdr(store.types[KIND](data=1), KIND))
    part = BagPart(tmp_path / "part")
    with Bag(tmp_path / "drive") as bag:
        for connection, received_ns, data in bag.messages(bag.connections):
            part.copy(connection, bag, data, received_ns)
    part.close()
    file = add_part(part.folder, tmp_path / "bag", "first")
    assert write_metadata(tmp_path / "bag", [file]) == [file]
    with AnyReader([tmp_path / "bag"]) as reader:
        assert [connection.topic for connection in reader.connections] == ["/rosout"]
        assert len(reader.connections[0].ext.offered_qos_profiles) == PROFILES


def test_metadata_of_a_part_may_be_larger_than_any_yaml_of_a_user(tmp_path):
    about = {
        "message_count": TOPICS,
        "starting_time": {"nanoseconds_since_epoch": START_NS},
        "duration": {"nanoseconds": 1},
        "topics_with_message_count": [
            {"topic_metadata": {"name": f"/{'part/' * 50}{i}", "type": KIND}, "message_count": 1} for i in range(TOPICS)
        ],
        "files": [{"path": "first.mcap", "message_count": TOPICS}],
    }
    text = yaml.safe_dump({"rosbag2_bagfile_information": about})
    assert len(text) > MOST_BYTES
    assert text.count(": ") * 2 + TOPICS > MOST_NODES
    (tmp_path / ".first.mcap.yaml").write_text(text)
    (tmp_path / "first.mcap").touch()
    assert write_metadata(tmp_path, ["first.mcap"]) == ["first.mcap"]
    merged = yaml.safe_load((tmp_path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert merged["topics_with_message_count"] == about["topics_with_message_count"]
