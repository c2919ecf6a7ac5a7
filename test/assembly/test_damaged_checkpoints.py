"""Checkpoints written by hand, entry by entry: the types that others use, and every way to be inconsistent."""

import io
import json
import struct
import zipfile

import checkpoints
import numpy as np
import pytest
from checkpoints import write_pth

from metric3d_ros.assembly.tensor_files import as_float32, read_checkpoint
from metric3d_ros.errors import CheckpointError

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def write_safetensors(path, header, content):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


def entry(kind, shape, end, begin=0):
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


def write_archive(path, stored, *, storages=(), byteorder=None, compression=zipfile.ZIP_STORED, name="data.pkl"):
    """Write what PyTorch's pickler makes of `stored`, and storages as they are, into a zip file."""
    pickled = io.BytesIO()
    checkpoints._Pickler(pickled, protocol=2).dump(stored)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"archive/{name}", pickled.getvalue())
        if byteorder is not None:
            archive.writestr("archive/byteorder", byteorder)
        for i, content in enumerate(storages):
            archive.writestr(f"archive/data/{i}", content)
    return path


class Rebuilt:
    """Pickled as a call of something by its name."""

    def __init__(self, module, name, *arguments):
        self.called, self.arguments = checkpoints._Global(module, name), arguments

    def __reduce__(self):
        return self.called, self.arguments


class Marked(checkpoints._Storage):
    """A storage with any mark."""

    def __init__(self, *mark):
        self.mark = mark


def tensor(storage, shape, strides, offset=0):
    return Rebuilt("torch._utils", "_rebuild_tensor_v2", storage, offset, shape, strides, False, {})


def floats(count=6):
    return checkpoints._Storage("0", count, "FloatStorage")


def test_bfloat16_and_remarks_in_safetensors_are_read(tmp_path):
    header = {"__metadata__": {"format": "pt"}, "a": entry("BF16", [1, 3], 6), "b": entry("I64", [], 14, begin=6)}
    content = struct.pack("<3H", 0x3F80, 0xC000, 0x3E80) + struct.pack("<q", 7)
    found = read_checkpoint(write_safetensors(tmp_path / "c.safetensors", header, content)).tensors
    assert found.keys() == {"a", "b"}
    assert as_float32(found["a"]).tolist() == [[1.0, -2.0, 0.25]]
    assert found["b"] == 7


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": entry("F8_E4M3", [4], 4)}, "holds values of type F8_E4M3, expected one of F32, F16"),
        ({"a": entry("F32", [2, 3], 8)}, "truncated or damaged"),
        ({"a": entry("F32", [2, 3], 24, begin=0)}, "truncated or damaged"),
        ({"a": entry("F32", [-1], -4)}, "truncated or damaged"),
        ({"a": {"dtype": "F32"}}, "truncated or damaged"),
        ([1, 2], "truncated or damaged"),
    ],
    ids=["type", "too short for its shape", "beyond the end", "negative", "no offsets", "no object"],
)
def test_safetensors_that_contradict_themselves_are_one_line(tmp_path, header, message):
    path = write_safetensors(tmp_path / "c.safetensors", header, bytes(16))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [struct.pack("<Q", 1 << 40) + b"{}", b"\1\2\3"], ids=["header", "length"])
def test_safetensors_shorter_than_they_state_are_damage(tmp_path, content):
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or damaged: download it again"):
        read_checkpoint(path)


def test_parameters_are_read_as_their_values_and_training_state_is_ignored(tmp_path):
    stored = {
        "w": Rebuilt("torch._utils", "_rebuild_parameter", tensor(floats(), (3, 2), (1, 3)), True, {}),
        "best": Rebuilt("numpy.core.multiarray", "scalar", Rebuilt("numpy", "dtype", "f8", 0, 1), b"12345678"),
    }
    path = write_archive(tmp_path / "c.pth", stored, storages=[VALUES.tobytes()], byteorder="little")
    found = read_checkpoint(path).tensors
    assert list(found) == ["w"]
    np.testing.assert_array_equal(found["w"], VALUES.T)


def test_bfloat16_in_a_pth_is_widened(tmp_path):
    halves = np.array([0x3F80, 0xC000], np.uint16).view(np.float16)
    path = write_pth(tmp_path / "c.pth", {"a": halves}, kind="BFloat16Storage")
    assert as_float32(read_checkpoint(path).tensors["a"]).tolist() == [1.0, -2.0]


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_byte_order_is_named(tmp_path):
    path = write_archive(tmp_path / "c.pth", {"a": tensor(floats(), (6,), (1,))}, byteorder="big")
    assert "is big-endian, expected little-endian" in refusal(path)


def test_a_pickle_of_something_else_than_a_dict_is_named(tmp_path):
    assert "holds a list, expected a dict of weights" in refusal(write_archive(tmp_path / "c.pth", [1.0, 2.0]))


@pytest.mark.parametrize(
    "stored",
    [
        tensor(floats(), (7,), (1,)),
        tensor(floats(), (2, 3), (3, 2)),
        tensor(floats(), (6,), (1,), offset=1),
        tensor(floats(), (6,), (1,), offset=-1),
        tensor(floats(), (6,), (-1,)),
        tensor(floats(), (-6,), (1,)),
        tensor(floats(), (2, 3), (1,)),
        tensor(floats(7), (6,), (1,)),
        tensor(checkpoints._Storage("9", 6, "FloatStorage"), (6,), (1,)),
        tensor(Marked("storage", "FloatStorage", "0", "cpu"), (6,), (1,)),
        tensor(Marked("array", "FloatStorage", "0", "cpu", 6), (6,), (1,)),
        tensor(Marked("storage", "FloatStorage", "0", "cpu", "6"), (6,), (1,)),
    ],
    ids=[
        "too long",
        "strides too long",
        "offset too large",
        "offset negative",
        "stride negative",
        "side negative",
        "a stride missing",
        "storage too short",
        "storage missing",
        "mark too short",
        "mark of another kind",
        "mark without a count",
    ],
)
def test_a_tensor_that_its_storage_cannot_hold_is_damage(tmp_path, stored):
    path = write_archive(tmp_path / "c.pth", {"a": stored}, storages=[VALUES.tobytes()])
    assert refusal(path).endswith("is truncated or damaged: download it again")


def test_a_storage_of_an_unknown_type_is_named(tmp_path):
    stored = {"a": tensor(Marked("storage", "QuarterStorage", "0", "cpu", 6), (6,), (1,))}
    path = write_archive(tmp_path / "c.pth", stored, storages=[VALUES.tobytes()])
    assert "holds values of type QuarterStorage, expected one of FloatStorage" in refusal(path)


@pytest.mark.parametrize(
    "changes", [{"compression": zipfile.ZIP_DEFLATED}, {"name": "else.pkl"}], ids=["compressed", "no data.pkl"]
)
def test_a_zip_file_that_pytorch_would_not_write_is_damage(tmp_path, changes):
    stored = {"a": tensor(floats(), (6,), (1,))}
    path = write_archive(tmp_path / "c.pth", stored, storages=[VALUES.tobytes()], **changes)
    assert refusal(path).endswith("is truncated or damaged: download it again")


def test_an_entry_that_begins_elsewhere_is_damage(tmp_path):
    path = write_archive(tmp_path / "c.pth", {"a": tensor(floats(), (6,), (1,))}, storages=[VALUES.tobytes()])
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("archive/data/0").header_offset
    content = bytearray(path.read_bytes())
    content[start : start + 4] = b"\0\0\0\0"
    path.write_bytes(content)
    assert refusal(path).endswith("is truncated or damaged: download it again")


@pytest.mark.parametrize(
    ("entry_name", "place", "value"),
    [
        ("data.pkl", 6, 99),
        ("data.pkl", 8, 1),
        ("data.pkl", 8, 1 << 6),
        ("data.pkl", 10, 8),
        ("data.pkl", 10, 14),
        ("data.pkl", 10, 97),
        ("data.pkl", 42, 60000),
        ("data/0", 10, 8),
        ("data/0", 42, 60000),
    ],
    ids=[
        "version",
        "encrypted",
        "strongly encrypted",
        "deflated",
        "lzma",
        "unknown method",
        "offset",
        "storage deflated",
        "storage's offset",
    ],
)
def test_a_damaged_field_of_the_zip_files_directory_is_damage(tmp_path, entry_name, place, value):
    path = write_archive(tmp_path / "c.pth", {"a": tensor(floats(), (6,), (1,))}, storages=[VALUES.tobytes()])
    content = bytearray(path.read_bytes())
    start = content.rfind(f"archive/{entry_name}".encode()) - 46  # of the entry in the directory
    assert content[start : start + 4] == b"PK\1\2"
    content[start + place : start + place + 2] = struct.pack("<H", value)
    path.write_bytes(content)
    assert refusal(path).endswith("is truncated or damaged: download it again")


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"\x80\x02c", b"\x80\x02K\x01"])
def test_a_pickle_that_ends_early_is_damage(tmp_path, content):
    path = tmp_path / "c.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    assert refusal(path).endswith("is truncated or damaged: download it again")
