"""A bag of any kind, opened for reading: rosbag2 folders and files, and ROS 1 bags."""

import contextlib
import functools
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from metric3d_ros.errors import DataError
from metric3d_ros.files.boundary import MOST_TEXT_BYTES
from metric3d_ros.files.remote import path_of
from metric3d_ros.recordings.bags.truncated_mcap import TruncatedMcap, is_truncated

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_HEADER = "std_msgs/msg/Header"
_RENAMED = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}
"""Types of ROS 1 with the same fields as the type of ROS 2 that took their place."""
_STORAGE_SUFFIXES = (".mcap", ".db3")
_BAG_SUFFIXES = (*_STORAGE_SUFFIXES, ".bag")
_MOST_METADATA_BYTES = 4 * MOST_TEXT_BYTES
"""Twenty thousand files. `rosbags` reads it whole, a second for each 100 kB."""
_INSTALL = "reading bags needs rosbags: pip install '.[bags]' in the source folder"


def is_bag(path: Path) -> bool:
    """Return whether a path is a bag by its name, or a folder with the files of a rosbag2."""
    if path.is_dir():
        return (path / "metadata.yaml").is_file() or bool(_storage_files(path))
    return path.suffix.lower() in _BAG_SUFFIXES


_kept = threading.local()


@contextlib.contextmanager
def kept_bag(path: str) -> Iterator["Bag"]:
    """Open a bag, which stays open after the context, for the thread's next call for it: opening can take seconds.

    Another call in the context, also for the same bag, opens one of its own. Raises as `Bag` does.
    """
    bag: Bag | None = getattr(_kept, "bag", None)
    if bag is not None and getattr(_kept, "path", "") == path:
        _kept.bag = None
    else:
        bag = Bag(path)
    try:
        yield bag
    finally:
        release_bag()
        _kept.bag, _kept.path = bag, path


def release_bag() -> None:
    """Close the bag that is kept open for this thread, if there is one."""
    bag: Bag | None = getattr(_kept, "bag", None)
    if bag is not None:
        _kept.bag = None
        bag.close()


class Bag:
    """An open bag.

    Attributes:
        path: as it was given.
        remarks: what is wrong with it, a line each, although it can be read.
        kept: what those who read it keep with it, until it is closed.
        is_ros1: it holds messages of ROS 1.
    """

    def __init__(self, path: str | Path) -> None:
        """Open it.

        Raises:
            DataError: it cannot be read, with the reason; or `rosbags` is not installed.
        """
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise DataError(f"{path}: {_INSTALL}") from error
        self.path = path_of(path)
        self.remarks: list[str] = []
        self.kept: dict[str, Any] = {}
        self.is_ros1 = self.path.suffix.lower() == ".bag"
        if not self.path.exists():
            raise DataError(f"there is no bag {path}; expected a rosbag2 folder, .mcap, .db3 or .bag")
        if not (self.path.is_dir() or self.path.is_file()):  # to open a pipe waits for ever
            raise DataError(f"{path} is not a file; expected a rosbag2 folder, .mcap, .db3 or .bag")
        default = get_typestore(Stores.ROS1_NOETIC if self.is_ros1 else Stores.ROS2_JAZZY)
        reasons: list[str] = []
        notes: list[str] = []
        for paths in self._ways(notes):
            try:
                reader = AnyReader(paths, default_typestore=default)
                reader.open()
                if problem := _contradiction(reader) if len(paths) == 1 and paths[0] is self.path else "":
                    reader.close()
                    raise DataError(problem)
            except Exception as error:  # `rosbags` lets errors of its storages through
                reasons.append(_reason(error))
                continue
            self._reader: Any = reader
            self.remarks += [*reasons, *notes]
            return
        raise DataError(
            f"{self.path} cannot be read: {'; '.join(dict.fromkeys(reasons)) or 'it holds no storage file'}"
        )

    def _ways(self, failures: list[str]) -> Iterator[list[Any]]:
        """Yield what to open, the best first; add to `failures` what is wrong with each but the first."""
        if not self.path.is_dir():
            yield [_repaired(self.path, failures)]
            return
        files = _storage_files(self.path)
        broken = [file for file in files if file.suffix == ".mcap" and is_truncated(file)]
        about = self.path / "metadata.yaml"
        if about.is_file() and not broken:
            size = about.stat().st_size
            if size <= _MOST_METADATA_BYTES:
                yield [self.path]
            else:
                failures.append(f"metadata.yaml has {size} bytes, expected at most {_MOST_METADATA_BYTES}")
            if files:
                failures.append("metadata.yaml does not fit the bag; its files were read without it")
        elif not about.is_file():
            failures.append("metadata.yaml is missing; the files of the folder were read without it")
        if files:
            yield [_repaired(file, failures) for file in files]

    def __enter__(self) -> "Bag":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its files."""
        self._reader.close()

    @property
    def typestore(self) -> Any:
        """The types of its messages."""
        return self._reader.typestore

    @functools.cached_property
    def ros2_typestore(self) -> Any:
        """The types of its messages as ROS 2 serialises them: a ROS 1 header has a number besides, and fields a `D`."""
        if not self.is_ros1:
            return self.typestore
        from rosbags.typesys import Stores, get_typestore

        own, known = self.typestore.fielddefs, get_typestore(Stores.ROS2_JAZZY).fielddefs
        store = get_typestore(Stores.EMPTY)
        types = {name: known[name] if _is_alike(name, own, known) else own[name] for name in own}
        store.register(types | {self.ros2_type(name): types[name] for name in types})
        return store

    def ros2_type(self, message_type: str) -> str:
        """Return what ROS 2 calls the type of a message: of ROS 1, tf/tfMessage is tf2_msgs/TFMessage there."""
        return _RENAMED.get(message_type, message_type) if self.is_ros1 else message_type

    @property
    def connections(self) -> list[Any]:
        """Its topics, as `rosbags` has them; a topic may have several."""
        return list(self._reader.connections)

    @property
    def span_ns(self) -> tuple[int, int]:
        """When its first message was received, and a nanosecond after its last; (0, 0) if it is empty."""
        if not self._reader.message_count:
            return 0, 0
        return int(self._reader.start_time), int(self._reader.end_time)

    def of_type(self, *types: str) -> dict[str, list[Any]]:
        """Return the connections of some message types, by topic."""
        found: dict[str, list[Any]] = {}
        for connection in self._reader.connections:
            if connection.msgtype in types:
                found.setdefault(connection.topic, []).append(connection)
        return found

    def count(self, topic: str) -> int:
        """Return how many messages the bag's index states for a topic."""
        return sum(int(each.msgcount) for each in self._reader.connections if each.topic == topic)

    def messages(
        self, connections: Collection[Any], *, start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[tuple[Any, int, bytes]]:
        """Yield (connection, receive time in nanoseconds, bytes), from `start_ns` to before `stop_ns`.

        A bag that ends too early yields what it holds; `remarks` tells then.
        """
        if not connections:
            return
        messages = self._reader.messages(connections=connections, start=start_ns, stop=stop_ns)
        while True:
            try:
                item = next(messages)
            except StopIteration:
                return
            except Exception as error:  # as above, and whatever damaged records make of its decoders
                self.remarks.append(f"reading stopped early: {_reason(error)}")
                return
            yield item

    def deserialize(self, data: bytes, message_type: str) -> Any:
        """Return the message of some bytes; DataError if they are none."""
        try:
            return self._reader.deserialize(data, message_type)
        except Exception as error:  # whatever bytes of others make of its decoders
            raise DataError(f"a {message_type} cannot be deserialised: {_reason(error)}") from error

    def to_ros2(self, data: bytes, message_type: str) -> bytes | memoryview:
        """Return a message's bytes as ROS 2 serialises it, by `ros2_typestore`; DataError if they are none."""
        if not self.is_ros1:
            return data
        try:
            converted: memoryview = self.ros2_typestore.ros1_to_cdr(data, message_type)
        except Exception as error:  # whatever bytes of others make of its converter
            raise DataError(f"a {message_type} cannot be converted for ROS 2: {_reason(error)}") from error
        return converted


def _is_alike(name: str, ros1: Any, ros2: Any) -> bool:
    """Return whether a type of ROS 1 is that of ROS 2: with fields of the same types, or the header without number."""
    same = name in ros2 and [kind for _, kind in ros1[name][1]] == [kind for _, kind in ros2[name][1]]
    return same or name == _HEADER


def _contradiction(reader: Any) -> str:
    """Return in which way a bag's metadata.yaml contradicts its files, which then can be read without it; "" if not."""
    about: Any = getattr(reader.readers[0], "storage", None)
    storages: Any = getattr(about, "storages", ())
    if not storages or about.metadata.compression_mode:
        return ""
    held = sum(storage.metadata.message_count for storage in storages)
    if about.metadata.message_count != held:
        return f"metadata.yaml states {about.metadata.message_count} messages, and the files hold {held}"
    by_topic = sum(connection.msgcount for connection in about.connections)
    if by_topic != held:
        return f"metadata.yaml states {by_topic} messages of its topics, and the files hold {held}"
    first_ns = min(storage.metadata.start_time for storage in storages)
    end_ns = max(storage.metadata.end_time for storage in storages)
    if held and not (about.metadata.start_time <= first_ns and end_ns <= about.metadata.end_time):
        return "metadata.yaml states other times than the files"
    return ""


def _storage_files(folder: Path) -> list[Path]:
    from metric3d_ros.recordings.images import natural_order

    return sorted((each for each in folder.iterdir() if each.suffix in _STORAGE_SUFFIXES), key=natural_order)


def _repaired(path: Path, failures: list[str]) -> Any:
    if path.suffix.lower() == ".mcap" and path.is_file() and is_truncated(path):
        failures.append(f"{path.name} was cut off; what is complete in it was read")
        return TruncatedMcap(path)
    return path


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
