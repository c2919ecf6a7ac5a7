"""A checkpoint that was damaged in any way is one line with the file's name, or its tensors can still be read."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from damaged_copies import check_damaged

from metric3d_export.weights.checkpoints import read_checkpoint

TENSORS = {
    "depth_model.encoder.weight": torch.arange(60.0).reshape(3, 4, 5),
    "depth_model.decoder.bias": torch.ones(7, dtype=torch.float16),
}


def write_good(kind, folder):
    path = folder / f"good{kind}"
    if kind == ".safetensors":
        safetensors.torch.save_file(TENSORS, path)
    else:
        state = {"model_state_dict": TENSORS, "epoch": 3}
        torch.save(state, path, _use_new_zipfile_serialization=kind == ".pth")
    return path


KINDS = [".safetensors", ".pth", ".old.pth"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_damages_are_one_line_or_harmless(tmp_path, kind):
    assert check_damaged(read_checkpoint, write_good(kind, tmp_path), tmp_path / f"damaged{kind}", range(100)) > 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_damages_are_one_line_or_harmless(tmp_path, kind):
    good = write_good(kind, tmp_path)
    assert check_damaged(read_checkpoint, good, tmp_path / f"damaged{kind}", range(1000, 3000)) > 400
