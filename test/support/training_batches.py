"""Small training batches of the demo model, and weights in the form in which its encoder is published."""

import numpy as np
import torch

from metric3d_export.demo_model.rendering.drawn_views import Frame
from metric3d_export.demo_model.training_images import (
    Batch,
)
from metric3d_export.network.lite_unet import STAGES

SMALL = Frame((64, 96))


def random_batch(size_hw: tuple[int, int] = (64, 96), count: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(3)
    height, width = size_hw
    normal = torch.randn((count, 3, height, width), generator=generator)
    valid = torch.ones((count, height, width), dtype=torch.bool)
    valid[:, :6] = False
    return Batch(
        torch.rand((count, 3, height, width), generator=generator) * 255,
        torch.rand((count, height, width), generator=generator) * 20 + 1,
        normal / normal.norm(dim=1, keepdim=True),
        valid,
    )


def published_encoder() -> dict[str, torch.Tensor]:
    """Return weights as EfficientNet-Lite0 is published, batch norms and all, with random values."""
    torch.manual_seed(2)
    tensors: dict[str, torch.Tensor] = {}

    def layer(convolution: str, norm: str, shape: tuple[int, ...]) -> None:
        tensors[f"{convolution}.weight"] = torch.randn(shape) / np.sqrt(np.prod(shape[1:]))
        tensors[f"{norm}.weight"], tensors[f"{norm}.bias"] = torch.rand(shape[0]) + 0.5, torch.randn(shape[0]) * 0.3
        tensors[f"{norm}.running_mean"] = torch.randn(shape[0]) * 0.2
        tensors[f"{norm}.running_var"] = torch.rand(shape[0]) + 0.5

    layer("_conv_stem", "_bn0", (32, 3, 3, 3))
    channels, index = 32, 0
    for expansion, out_channels, blocks, _, kernel in STAGES:
        for _ in range(blocks):
            inner, name = channels * expansion, f"_blocks.{index}"
            if expansion != 1:
                layer(f"{name}._expand_conv", f"{name}._bn0", (inner, channels, 1, 1))
            layer(f"{name}._depthwise_conv", f"{name}._bn1", (inner, 1, kernel, kernel))
            layer(f"{name}._project_conv", f"{name}._bn2", (out_channels, inner, 1, 1))
            channels, index = out_channels, index + 1
    return tensors
