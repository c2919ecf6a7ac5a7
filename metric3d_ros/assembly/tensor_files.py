"""Reads weights from .pth and .safetensors files: arrays and nothing else; no code of a file is run."""

from __future__ import annotations

import json
import math
import mmap
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import CheckpointError
from metric3d_ros.hub.downloads import hash_file

Array = npt.NDArray[Any]

STATE_DICT_KEY = "model_state_dict"
_BFLOAT16 = "bfloat16"
_STORAGES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFETENSORS = {
    "F32": "<f4",
    "F16": "<f2",
    "F64": "<f8",
    "BF16": _BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Of an entry of a zip file: signature, and the lengths of its name and of what follows that before the content."""
_MOST_HEADER_BYTES = 100_000_000
_DAMAGE = (
    *(ValueError, KeyError, TypeError, IndexError, EOFError, OSError, OverflowError, struct.error, zlib.error),
    RuntimeError,  # of zipfile, for an entry that is marked as encrypted or as of an unknown kind; or too deep nesting
)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights by their published names. The arrays are mapped from the file, which is read where they are used."""

    tensors: Mapping[str, Array]
    file: str
    sha256: str
    origin: str = ""
    """Repository and commit that the file was downloaded from, if it was."""


def require_checkpoint(path: Path) -> None:
    """Raise CheckpointError for a file that is missing, empty or text; every kind of checkpoint has control bytes."""
    if not path.is_file():
        kind = "is a directory" if path.is_dir() else "does not exist"
        raise CheckpointError(f"checkpoint {path} {kind}: give the path of a .pth or .safetensors file")
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise CheckpointError(f"checkpoint {path} is empty: download it again")
    if not any(byte < 0x20 and byte not in b"\t\n\f\r" for byte in start):
        raise CheckpointError(
            f"checkpoint {path} is text (a web page, an error message or a pointer file), not weights: download the "
            "file itself"
        )


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a .pth with the weights at its top or under `model_state_dict`, or a .safetensors file.

    Raises:
        CheckpointError: it is missing, empty, truncated, no checkpoint, or holds more than arrays and plain values.
    """
    require_checkpoint(path)
    with path.open("rb") as file:
        read = _read_safetensors if path.suffix == ".safetensors" else _read_pth
        try:
            stored = read(path, file)
        except CheckpointError:
            raise
        except _DAMAGE as error:
            raise CheckpointError(f"checkpoint {path} is truncated or damaged: download it again") from error
    state = stored.get(STATE_DICT_KEY, stored)
    named = state.items() if isinstance(state, Mapping) else ()
    tensors = {str(name).removeprefix("module."): value for name, value in named if isinstance(value, np.ndarray)}
    if not tensors:
        raise CheckpointError(
            f"checkpoint {path} holds no weights, expected named tensors at its top or under {STATE_DICT_KEY}: get "
            "the published file"
        )
    return Checkpoint(tensors, path.name, hash_file(path))


def as_float32(array: Array) -> npt.NDArray[np.float32]:
    """Return the values as contiguous float32; arrays that are so already are not copied."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _read_safetensors(path: Path, file: BinaryIO) -> Mapping[str, object]:
    content = _map(file)
    (length,) = struct.unpack_from("<Q", content)
    if not 0 < length <= min(len(content) - 8, _MOST_HEADER_BYTES):
        raise ValueError("the header is longer than the file")
    header = json.loads(content[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        kind = _kind(path, _SAFETENSORS, entry["dtype"])
        shape = tuple(int(side) for side in entry["shape"])
        if end - begin != math.prod(shape) * _item_bytes(kind):
            raise ValueError(f"{name} has another length than its shape")
        found[name] = _view(content, kind, 8 + length + begin, math.prod(shape)).reshape(shape)
    return found


def _read_pth(path: Path, file: BinaryIO) -> Mapping[str, object]:
    file.seek(0)
    if file.read(4) != b"PK\3\4":
        raise CheckpointError(
            f"checkpoint {path} is damaged or of PyTorch before 1.6, expected a zip file: download it again, or use "
            "`metric3d export`, which reads old files"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            content = _map(file)
            return _unpickle(path, archive, content)
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"checkpoint {path} is truncated or damaged: download it again") from error


def _unpickle(path: Path, archive: zipfile.ZipFile, content: mmap.mmap) -> Mapping[str, object]:
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in archive.infolist()):
        raise ValueError("an entry is compressed in a way that PyTorch does not use")
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise ValueError("there is no data.pkl")
    root = names[0].removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
        raise CheckpointError(f"checkpoint {path} is big-endian, expected little-endian: save it on another machine")

    def find_storage(mark: tuple[str, str, str, str, int]) -> Array:
        kind, key, count = _kind(path, _STORAGES, mark[1]), mark[2], mark[4]
        entry = archive.getinfo(f"{root}data/{key}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size < count * _item_bytes(kind):
            raise ValueError("a storage is compressed or too short")
        signature, name_bytes, more_bytes = _LOCAL_HEADER.unpack_from(content, entry.header_offset)
        if signature != b"PK\3\4":
            raise ValueError("an entry begins elsewhere")
        start = entry.header_offset + _LOCAL_HEADER.size + name_bytes + more_bytes
        return _view(content, kind, start, count)

    with archive.open(names[0]) as pickled:
        try:
            stored = _ArrayUnpickler(pickled, path, find_storage).load()
        except (pickle.UnpicklingError, AttributeError, MemoryError) as error:
            raise ValueError("no readable pickle") from error
    if not isinstance(stored, Mapping):
        raise CheckpointError(f"checkpoint {path} holds a {type(stored).__name__}, expected a dict of weights")
    return stored


class _Ignored:
    """Stands for a NumPy number or type beside the weights, which trainings leave there; takes anything, is nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


class _Names(dict[Any, Any]):
    """Stands for an OrderedDict, whose further attributes it leaves out."""

    def __setstate__(self, _: object) -> None: ...


class _ArrayUnpickler(pickle.Unpickler):
    """Builds dicts, lists, plain values and arrays. Every other name in a pickle is refused, not imported."""

    def __init__(self, file: Any, path: Path, find_storage: Callable[[Any], Array]) -> None:
        super().__init__(file)
        self._path = path
        self._find_storage = find_storage

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function; the one place from which a pickle gets anything to call."""
        known = _BUILDERS.get((module, name))
        if known is not None:
            return known
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return name
        raise CheckpointError(
            f"checkpoint {self._path} holds {module}.{name} besides tensors, and reading such objects could run code: "
            "get the published file, or have its owner save it as safetensors"
        )

    def persistent_load(self, mark: Any) -> Array:
        """Return a storage's values, one row."""
        if not (isinstance(mark, tuple) and len(mark) == 5 and mark[0] == "storage" and isinstance(mark[4], int)):
            raise ValueError("a storage has an unknown mark")
        return self._find_storage(mark)


def _rebuild_tensor(storage: Array, offset: int, shape: Any, strides: Any, *_: object) -> Array:
    shape, strides = tuple(map(int, shape)), tuple(map(int, strides))
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if offset < 0 or min(shape, default=1) < 0 or min(strides, default=0) < 0:
        raise ValueError("a tensor has a negative size")
    if math.prod(shape) and last >= storage.size:
        raise ValueError("a tensor is longer than its storage")
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, [stride * storage.itemsize for stride in strides], writeable=False
    )


def _rebuild_parameter(data: Array, *_: object) -> Array:
    return data


_BUILDERS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("collections", "OrderedDict"): _Names,
    ("numpy.core.multiarray", "scalar"): _Ignored,
    ("numpy._core.multiarray", "scalar"): _Ignored,
    ("numpy", "dtype"): _Ignored,
    ("_codecs", "encode"): _Ignored,
}


def _map(file: BinaryIO) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _kind(path: Path, kinds: Mapping[str, str], name: object) -> str:
    if name not in kinds:
        raise CheckpointError(f"checkpoint {path} holds values of type {name}, expected one of {', '.join(kinds)}")
    return kinds[str(name)]


def _item_bytes(kind: str) -> int:
    return 2 if kind == _BFLOAT16 else np.dtype(kind).itemsize


def _view(content: mmap.mmap, kind: str, start: int, count: int) -> Array:
    if start < 0 or count < 0 or start + count * _item_bytes(kind) > len(content):
        raise ValueError("a tensor lies beyond the end of the file")
    if kind != _BFLOAT16:
        return np.frombuffer(content, kind, count, start)
    # float32 begins with the same 16 bits.
    return (np.frombuffer(content, "<u2", count, start).astype(np.uint32) << 16).view(np.float32)
