"""Checks that an ONNX file keeps its weights in files of its own folder; otherwise it is not loaded.

An ONNX file may name further files for its tensors. ONNX Runtime before 1.32 opens whatever a file names: paths with
"../", absolute paths, links, devices. So this is checked before any runtime reads the file, whatever its version.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from metric3d_ros.engine.protobuf import Buffer, Field, read_fields
from metric3d_ros.errors import ModelError

# Which fields of onnx.proto's messages lead to tensors, by their numbers.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_LOCATION = b"location"
_MOST_DEPTH = 100
"""Messages within messages, as protobuf's own readers allow."""


def check_external_data(path: Path) -> None:
    """Refuse an ONNX file whose weights are outside its own folder, or cannot be read.

    Raises:
        ModelError: a location is absolute, leads out of the folder, through a link, or not to a regular file.
        ValueError: `path` mentions locations and is not an ONNX file.
    """
    for location in sorted(set(_read_locations(path))):
        _check_location(path, location)


def _read_locations(path: Path) -> Iterator[bytes]:
    """Yield the names of the files that hold tensors."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if not size:
            return
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            if data.find(_LOCATION) < 0:
                return  # without the word there is no entry; searching is a hundred times as fast as reading
            waiting = [("model", Field(0, 0, size), 0)]
            while waiting:
                kind, message, depth = waiting.pop()
                if depth > _MOST_DEPTH:
                    raise ValueError(f"messages are nested more than {_MOST_DEPTH} deep")
                if kind == "entry":
                    yield from _location(data, message)
                    continue
                inner = _FIELDS[kind]
                waiting += [
                    (inner[field.number], field, depth + 1)
                    for field in read_fields(data, message.start, message.end)
                    if field.number in inner
                ]


def _location(data: Buffer, entry: Field) -> list[bytes]:
    """Return the values of an entry that is, or may be read as, a location."""
    fields = list(read_fields(data, entry.start, entry.end))
    keys = {data[field.start : field.end] for field in fields if field.number == _ENTRY_KEY}
    return [data[f.start : f.end] for f in fields if f.number == _ENTRY_VALUE] if _LOCATION in keys else []


def _check_location(path: Path, location: bytes) -> None:
    try:
        text = location.decode()
    except UnicodeDecodeError:
        raise _refuse(path, repr(location), "whose name is no UTF-8") from None
    parts = PurePosixPath(text).parts
    # "*/_ORT_MEM_ADDR_/*" is ONNX Runtime's own mark for memory at an address.
    if not parts or parts[0] == "*" or "\0" in text or "\\" in text:
        raise _refuse(path, repr(text), "which is not a file name")
    if PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive:
        raise _refuse(path, repr(text), "an absolute path")
    if ".." in parts:
        raise _refuse(path, repr(text), "outside its own folder")
    target = path.parent
    try:
        for part in parts:
            target /= part
            mode = target.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise _refuse(path, repr(text), "which is a link")
    except OSError as error:
        raise ModelError(
            f"{path} keeps its weights in {text!r}, which cannot be read ({error.strerror}): put that file beside it, "
            "or make the model again with `metric3d export`"
        ) from error
    if not stat.S_ISREG(mode):
        raise _refuse(path, repr(text), "which is not a regular file")


def _refuse(path: Path, location: str, what: str) -> ModelError:
    excerpt = location if len(location) <= 80 else location[:77] + "..."
    return ModelError(
        f"{path} keeps its weights in {excerpt}, {what}: expected a file beside the model; copy it there under a plain "
        "name that the model names, or get the model from a source that you trust"
    )
