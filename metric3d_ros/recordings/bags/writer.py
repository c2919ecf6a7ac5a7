"""A rosbag2 that grows part by part: each part is a storage file of its own, and metadata.yaml names them all."""

import contextlib
import errno
import operator
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from metric3d_ros.errors import DataError
from metric3d_ros.files.atomic import write_text
from metric3d_ros.files.boundary import one_line_about, read_text
from metric3d_ros.files.yaml_text import LimitedLoader, load_first_document
from metric3d_ros.recordings.bags.message_classes import with_arrays
from metric3d_ros.recordings.bags.reader import Bag

MCAP, SQLITE3 = "mcap", "sqlite3"
SUFFIXES = {MCAP: ".mcap", SQLITE3: ".db3"}
_INFORMATION = "rosbag2_bagfile_information"
_PART = re.compile(r"_[0-9]{5,}(_[0-9]+)?(\.mcap|\.db3)")
IF_GONE = "copy it back, or run again into another folder"
"""What to do about a part that was there."""


class _MetadataLoader(LimitedLoader):
    """Reads a part's metadata, which `BagPart` wrote: up to about 30,000 QoS profiles, one for each publisher."""

    most_letters = 16 << 20
    most_lines = 1_000_000
    most_nodes = 1_000_000


class BagPart:
    """Writes one storage file into its own folder; raises OSError if that fails, with either storage."""

    def __init__(self, folder: Path, *, storage: str = MCAP) -> None:
        """Begin it; DataError if `rosbags` is not installed."""
        try:
            from rosbags.rosbag2 import StoragePlugin, Writer
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise DataError("writing bags needs rosbags: pip install '.[bags]' in the source folder") from error
        plugin = StoragePlugin.MCAP if storage == MCAP else StoragePlugin.SQLITE3
        self._writer: Any = Writer(folder, version=9, storage_plugin=plugin)
        self._typestore: Any = get_typestore(Stores.ROS2_JAZZY)
        self._topics: dict[str, Any] = {}
        self.folder = folder
        with _os_errors(folder):
            self._writer.open()

    def write(self, topic: str, message_type: str, message: Any, received_ns: int) -> None:
        """Write a message of `message_classes`, on a topic that is reliable and volatile with a queue of 2."""
        data = self._typestore.serialize_cdr(with_arrays(message), message_type)
        with _os_errors(self.folder):
            connection = self._topics.get(topic)
            if connection is None:
                connection = self._topics[topic] = self._writer.add_connection(
                    topic, message_type, typestore=self._typestore, offered_qos_profiles=[output_qos()]
                )
            self._writer.write(connection, received_ns, data)

    def copy(self, connection: Any, bag: Bag, data: bytes, received_ns: int) -> None:
        """Write a message of another bag, on a topic with the type, hash and QoS that it has there."""
        converted = bag.to_ros2(data, connection.msgtype)
        key = f"{connection.topic} {connection.id}"
        with _os_errors(self.folder):
            mine = self._topics.get(key)
            if mine is None:
                mine = self._topics[key] = self._writer.add_connection(
                    connection.topic,
                    bag.ros2_type(connection.msgtype),
                    typestore=bag.ros2_typestore,
                    offered_qos_profiles=_offered_qos(connection),
                )
            self._writer.write(mine, received_ns, converted)

    def close(self) -> None:
        """Complete the file."""
        with _os_errors(self.folder):
            self._writer.close()

    def abort(self) -> None:
        """Close the file and remove it; never raises, so that the error before it is the one seen."""
        with contextlib.suppress(Exception):
            self._writer.abort()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def _os_errors(folder: Path) -> Iterator[None]:
    """Raise what SQLite raises about a file that it cannot write as OSError: ENOSPC for a full disk, else EIO."""
    import sqlite3

    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):  # its code is there only from Python 3.11 on
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise OSError(errno.EIO, str(error), str(folder)) from error


def output_qos(*, latched: bool = False) -> Any:
    """Return the QoS of the node's outputs; `latched` has the durability transient local."""
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    forever = QosTime(2147483647, 4294967295)
    return Qos(
        QosHistory.KEEP_LAST,
        1 if latched else 2,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )


def _offered_qos(connection: Any) -> Sequence[Any]:
    if hasattr(connection.ext, "offered_qos_profiles"):
        return list(connection.ext.offered_qos_profiles)
    return [output_qos(latched=bool(connection.ext.latching))]


def is_latched(connection: Any) -> bool:
    """Return whether late subscribers of a bag's topic get its last messages."""
    return any(each.durability.name == "TRANSIENT_LOCAL" for each in _offered_qos(connection))


def add_part(part: Path, bag: Path, name: str) -> str:
    """Move a complete part's file into a bag, as `name` with its suffix; return the file's name.

    Its metadata go beside it until `write_metadata` has gathered all of them.
    """
    (file,) = (each for each in part.iterdir() if each.suffix in SUFFIXES.values())
    bag.mkdir(parents=True, exist_ok=True)
    target = bag / f"{name}{file.suffix}"
    os.replace(part / "metadata.yaml", bag / f".{target.name}.yaml")
    os.replace(file, target)
    part.rmdir()
    return target.name


def remove_parts(bag: Path) -> None:
    """Remove what `add_part` and `write_metadata` put into a bag, and the folder if nothing else is in it."""
    parts = _parts_in(bag)
    for part in parts:
        _remove_part(part)
    if parts:
        (bag / "metadata.yaml").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other files are in it, or it does not exist
        bag.rmdir()


def _parts_in(bag: Path) -> list[Path]:
    return [file for file in bag.glob("*") if is_part(file.name, recording=bag.parent.name)]


def is_part(file: str, *, recording: str) -> bool:
    """Return whether a file in a recording's bag is named as a part is: drive_00012.mcap. Others are the user's."""
    return _PART.fullmatch(file.removeprefix(recording)) is not None and file.startswith(recording)


def _remove_part(part: Path) -> None:
    part.unlink()
    part.with_name(f".{part.name}.yaml").unlink(missing_ok=True)


def write_metadata(bag: Path, files: Sequence[str], *, only_metadata: bool = False) -> list[str]:
    """Write metadata.yaml for the parts `files`, in this order, and remove all other parts; return those with messages.

    Raises DataError if one of these is gone, unless the folder holds `only_metadata`.
    """
    parts: list[dict[str, Any]] = []
    for file in files:
        about = bag / f".{file}.yaml"
        with one_line_about(about, DataError, what="metadata of a part of a bag", remedy=IF_GONE):
            text = read_text(about, error=DataError, remedy=IF_GONE, most_bytes=_MetadataLoader.most_letters)
            loaded = _checked(load_first_document(text, _MetadataLoader)[_INFORMATION])
        loaded["files"][0]["path"] = file
        if loaded["message_count"]:
            if not (only_metadata or (bag / file).is_file()):
                raise DataError(f"{bag / file} is gone, which is a part of the bag: {IF_GONE}")
            parts.append(loaded)
        else:
            (bag / file).unlink(missing_ok=True)
    kept = {part["files"][0]["path"] for part in parts}
    for file_path in _parts_in(bag):
        if file_path.name not in kept:
            _remove_part(file_path)
    if not parts:
        return []
    start_ns = min(part["starting_time"]["nanoseconds_since_epoch"] for part in parts)
    end_ns = max(part["starting_time"]["nanoseconds_since_epoch"] + part["duration"]["nanoseconds"] for part in parts)
    merged = {
        **parts[0],
        "relative_file_paths": [part["files"][0]["path"] for part in parts],
        "starting_time": {"nanoseconds_since_epoch": start_ns},
        "duration": {"nanoseconds": end_ns - start_ns},
        "message_count": sum(part["message_count"] for part in parts),
        "topics_with_message_count": _merge_topics(parts),
        "files": [part["files"][0] for part in parts],
    }
    write_text(bag / "metadata.yaml", yaml.safe_dump({_INFORMATION: merged}, sort_keys=False), durable=True)
    return list(merged["relative_file_paths"])


def _checked(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part's metadata; raises whatever comes of what `write_metadata` needs and is not there."""
    part["files"][0]["path"] = ""
    for count in (
        part["message_count"],
        part["starting_time"]["nanoseconds_since_epoch"],
        part["duration"]["nanoseconds"],
    ):
        operator.index(count)
    for each in part["topics_with_message_count"]:
        operator.index(each["message_count"])
        str(each["topic_metadata"])
    return part


def _merge_topics(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    topics: dict[str, dict[str, Any]] = {}
    for part in parts:
        for each in part["topics_with_message_count"]:
            key = str(each["topic_metadata"])
            if key in topics:
                topics[key]["message_count"] += each["message_count"]
            else:
                topics[key] = dict(each)
    return list(topics.values())
