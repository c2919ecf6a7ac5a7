"""Checkpoints are read into arrays; nothing in them is run, and what is wrong with one is said in a line."""

import os

import numpy as np
import pytest
from checkpoints import write_pth, write_safetensors

from metric3d_ros.assembly.tensor_files import as_float32, read_checkpoint
from metric3d_ros.errors import CheckpointError
from metric3d_ros.hub.downloads import hash_file

TENSORS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32([[7]])}


class Touches:
    """What would make a file if its pickle were run."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_published_checkpoint_gives_its_tensors_under_their_names(tmp_path):
    path = write_pth(tmp_path / "c.pth", TENSORS, beside={"epoch": 3, "lr": [1e-4]})
    found = read_checkpoint(path)
    assert set(found.tensors) == set(TENSORS)
    for name, expected in TENSORS.items():
        np.testing.assert_array_equal(found.tensors[name], expected)
    assert (found.file, found.sha256) == ("c.pth", hash_file(path))


def test_a_tensor_that_is_stored_transposed_comes_out_as_it_is(tmp_path):
    stored = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    path = write_pth(tmp_path / "c.pth", {"a": stored.T})  # its storage is written row by row
    np.testing.assert_array_equal(read_checkpoint(path).tensors["a"], stored.T)


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_floats_become_float32(tmp_path, kind):
    path = write_pth(tmp_path / "c.pth", {"a": np.array([0.5, -2], kind)})
    values = as_float32(read_checkpoint(path).tensors["a"])
    assert values.dtype == np.float32
    assert values.tolist() == [0.5, -2]


def test_safetensors_are_read(tmp_path):
    found = read_checkpoint(write_safetensors(tmp_path / "c.safetensors", TENSORS))
    np.testing.assert_array_equal(found.tensors["a.weight"], TENSORS["a.weight"])


def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path):
    path = write_pth(tmp_path / "c.pth", TENSORS, beside={"evil": Touches(tmp_path / "made")})
    with pytest.raises(CheckpointError, match=r"holds (posix|nt)\.mkdir besides tensors.*could run code") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_a_tensor_longer_than_its_storage_is_refused(tmp_path):
    path = write_pth(tmp_path / "c.pth", TENSORS, kind="DoubleStorage")
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("writer", [write_pth, write_safetensors])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_named(tmp_path, writer, share):
    suffix = ".pth" if writer is write_pth else ".safetensors"
    content = writer(tmp_path / f"whole{suffix}", {"a": np.ones((40, 50), np.float32)}).read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: max(9, int(share * len(content)))])
    with pytest.raises(CheckpointError, match=rf"cut{suffix} is (truncated|damaged|text)"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "is text"),
        (b"\x80\x02}q\x00.", "damaged or of PyTorch before 1.6"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, message):
    path = tmp_path / "c.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_a_file_without_tensors_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_checkpoint(write_pth(tmp_path / "c.pth", {}))
