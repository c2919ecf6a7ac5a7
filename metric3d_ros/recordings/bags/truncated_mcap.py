"""An mcap file that was cut off, as one that ends properly: what is complete in it can then be read."""

import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

_MAGIC = b"\x89MCAP0\r\n"
_HEAD = struct.Struct("<BQ")
_DATA_END = b"\x0f" + struct.pack("<QI", 4, 0)
_FOOTER = b"\x02" + struct.pack("<QQQI", 20, 0, 0, 0)
_TAIL = _DATA_END + _FOOTER + _MAGIC
_DATA_OPCODES = frozenset({0x01, 0x03, 0x04, 0x05, 0x06, 0x07, 0x09, 0x0C})
"""Header, schema, channel, message, chunk, message index, attachment, metadata."""


def is_truncated(path: Path) -> bool:
    """Return whether an mcap file begins as one and does not end as one."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return False
        file.seek(0, io.SEEK_END)
        if file.tell() < 2 * len(_MAGIC):
            return True
        file.seek(-len(_MAGIC), io.SEEK_END)
        return file.read() != _MAGIC


def complete_bytes(path: Path) -> int:
    """Return how many bytes at the file's start are complete records of its data section."""
    size = path.stat().st_size
    with path.open("rb") as file:
        end = len(_MAGIC)
        while end + _HEAD.size <= size:
            file.seek(end)
            opcode, length = _HEAD.unpack(file.read(_HEAD.size))
            if opcode not in _DATA_OPCODES or end + _HEAD.size + length > size:
                break
            end += _HEAD.size + length
    return end


class TruncatedMcap:
    """The path of such a file, as `rosbags` takes paths: opened, it ends with a footer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name, self.stem, self.suffix = path.name, path.stem, path.suffix

    def __str__(self) -> str:
        return str(self._path)

    def exists(self) -> bool:
        """Return whether the file is there."""
        return self._path.exists()

    def is_dir(self) -> bool:
        """Return false: it is a file."""
        return False

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open it for reading."""
        return io.BufferedReader(_WithTail(self._path, complete_bytes(self._path)))


class _WithTail(io.RawIOBase):
    def __init__(self, path: Path, data_bytes: int) -> None:
        self._file = path.open("rb")
        self._data_bytes = data_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._data_bytes + len(_TAIL)}
        self._at = starts[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        left = self._data_bytes - self._at
        if left > 0:
            self._file.seek(self._at)
            data = self._file.read(min(len(buffer), left))
        else:
            data = _TAIL[-left : -left + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
