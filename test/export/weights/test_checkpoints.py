"""Checkpoints load under their published names, and a wrong or hostile file is refused in one line."""

import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from metric3d_export.weights.checkpoints import Weights, load_network, read_checkpoint, stand_in_weights
from metric3d_ros.errors import CheckpointError
from metric3d_ros.model_contract import STAND_IN_WEIGHTS


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return dict(stand_in_weights("vit_demo").tensors)


def load(path):
    return load_network("vit_demo", read_checkpoint(path))


def assert_equal_to(network, tensors) -> None:
    state = network.state_dict()
    # Two names of the same parameter: the one that is read last counts, as in the published loader.
    aliases = {name for name in tensors if ".norm3." in name}
    for name in set(tensors) - aliases:
        assert torch.equal(state[name], tensors[name]), name
    for name in aliases:
        assert torch.equal(state[name], tensors[name.replace("norm3", "downsample.1")])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"model_state_dict": tensors},
        lambda tensors: {"model_state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}},
        lambda tensors: {"model_state_dict": tensors, "epoch": 7, "loss": np.float64(0.25), "steps": np.int64(3)},
    ],
    ids=["plain", "published", "data parallel", "with training state"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_pth_files_load(tmp_path, tensors, wrap, zipped):
    path = tmp_path / "weights.pth"
    torch.save(wrap(tensors), path, _use_new_zipfile_serialization=zipped)
    network, extra = load(path)
    assert extra == []
    assert not network.training
    assert_equal_to(network, tensors)


def test_safetensors_load(tmp_path, tensors):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(tensors, path)
    assert_equal_to(load(path)[0], tensors)


def test_half_precision_weights_become_float32(tmp_path, tensors):
    path = tmp_path / "weights.pth"
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, path)
    network, _ = load(path)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_the_file_and_its_hash_are_noted(tmp_path, tensors):
    path = tmp_path / "weights.pth"
    torch.save({"depth_model.encoder.cls_token": torch.zeros(1)}, path)
    import hashlib

    weights = read_checkpoint(path)
    assert weights.file == "weights.pth"
    assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_extra_weights_are_listed(tensors):
    extended = {**tensors, "depth_model.decoder.auxiliary.weight": torch.zeros(3), "criterion.scale": torch.zeros(1)}
    _, extra = load_network("vit_demo", Weights(extended, "x.pth", ""))
    assert extra == ["criterion.scale", "depth_model.decoder.auxiliary.weight"]


def test_a_parameter_that_nothing_reads_may_be_missing(tensors):
    without = {name: tensor for name, tensor in tensors.items() if not name.endswith("mask_token")}
    network, _ = load_network("vit_demo", Weights(without, "x.pth", ""))
    assert torch.count_nonzero(network.depth_model.encoder.mask_token) == 0


def test_a_missing_parameter_is_named(tensors):
    name = "depth_model.decoder.depth_regressor.2.bias"
    without = {key: tensor for key, tensor in tensors.items() if key != name}
    with pytest.raises(
        CheckpointError, match=rf"x.pth does not fit vit_demo: {name} \(256,\) is missing.*fits none of"
    ):
        load_network("vit_demo", Weights(without, "x.pth", ""))


def test_weights_of_another_variant_are_named_as_such(tensors):
    with pytest.raises(CheckpointError, match=r"\(1, 1, 128\), expected \(1, 1, 384\); it fits vit_demo"):
        load_network("vit_small", Weights(tensors, "x.pth", ""))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(tensors, value):
    damaged = {name: tensor.clone() for name, tensor in tensors.items()}
    damaged["depth_model.encoder.norm.weight"][5] = value
    with pytest.raises(CheckpointError, match=r"NaN or infinity in depth_model.encoder.norm.weight"):
        load_network("vit_demo", Weights(damaged, "x.pth", ""))


@pytest.mark.parametrize("convert", [torch.Tensor.to_sparse, lambda tensor: tensor.to(torch.complex64)])
def test_a_weight_that_is_sparse_or_complex_is_named(tensors, convert):
    name = "depth_model.encoder.norm.weight"
    with pytest.raises(CheckpointError, match=f"holds {name} as torch.* expected dense real numbers"):
        load_network("vit_demo", Weights({**tensors, name: convert(tensors[name])}, "x.pth", ""))


class Malicious:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_code_in_a_pickle_does_not_run(tmp_path, tensors, zipped):
    path, canary = tmp_path / "weights.pth", tmp_path / "canary"
    stored = {"model_state_dict": tensors, "more": Malicious(canary)}
    torch.save(stored, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="Python objects besides tensors, and reading those could run code"):
        read_checkpoint(path)
    assert not canary.exists()


class MaliciousCommand(Malicious):
    def __reduce__(self):
        return (os.system, (f"touch {self.path}",))


def test_a_shell_command_in_a_pickle_does_not_run_and_is_not_taken_for_damage(tmp_path):
    path, canary = tmp_path / "weights.pth", tmp_path / "canary"
    torch.save({"more": MaliciousCommand(canary)}, path)
    with pytest.raises(CheckpointError, match="Python objects besides tensors, and reading those could run code"):
        read_checkpoint(path)
    assert not canary.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.filterwarnings("error")  # one line is printed, and no warning before it
def test_a_plain_pickle_does_not_run(tmp_path, protocol):
    path, canary = tmp_path / "weights.pth", tmp_path / "canary"
    path.write_bytes(pickle.dumps(Malicious(canary), protocol=protocol))
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    assert not canary.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.5, 0.999])
def test_a_truncated_file_is_reported_as_damaged(tmp_path, tensors, suffix, kept):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(tensors, path)
    else:
        safetensors.torch.save_file(tensors, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match="download it again"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "is text .a web page"),
        (b"\xef\xbb\xbf<!-- \xe2\x80\x99 -->\r\n<html>", "is text .a web page"),
        (b'{"error":"Entry not found"}', "is text .a web page, an error message"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is text .*or a pointer file"),
        (b"\x89PNG\r\n\x1a\n and so on", "damaged or no PyTorch file|truncated or damaged"),
        (bytes(4096), "damaged or no PyTorch file|truncated or damaged"),
    ],
    ids=["empty", "html", "html with a mark", "json", "lfs", "png", "zeros"],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content, message, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    if suffix == ".safetensors" and "damaged" in message:
        message = "not readable as safetensors"
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not weights")
    with pytest.raises(CheckpointError, match="download it again"):
        read_checkpoint(path)


@pytest.mark.parametrize("stored", [{"model_state_dict": None}, {"epoch": 3}, {"state": {"a": torch.zeros(1)}}])
def test_a_file_without_weights_says_what_it_holds(tmp_path, stored):
    path = tmp_path / "weights.pth"
    torch.save(stored, path)
    with pytest.raises(CheckpointError, match=f"holds no weights.*{next(iter(stored))}"):
        read_checkpoint(path)


def test_a_bare_tensor_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(torch.zeros(3), path)
    with pytest.raises(CheckpointError, match="expected a dict"):
        read_checkpoint(path)


def test_a_directory_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a directory: give the path of a \.pth"):
        read_checkpoint(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere\.pth does not exist"):
        read_checkpoint(tmp_path / "nowhere.pth")


def test_stand_in_weights_are_the_same_every_time_and_say_what_they_are():
    first, second = stand_in_weights("vit_demo"), stand_in_weights("vit_demo")
    assert first.file == STAND_IN_WEIGHTS
    assert first.sha256 == second.sha256
    assert len({tensor.sum().item() for tensor in first.tensors.values()}) > 0.9 * len(first.tensors)
