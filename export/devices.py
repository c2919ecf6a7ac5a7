"""The devices that PyTorch computes on."""

import torch

from metric3d_ros.errors import ConfigurationError


def require_device(device: str) -> None:
    """Raise ConfigurationError for a CUDA device if this PyTorch finds none."""
    if device.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("this PyTorch finds no CUDA device: install one that is built for CUDA")
