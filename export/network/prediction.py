"""Prediction: the output of every variant's network."""

from typing import NamedTuple

from torch import Tensor


class Prediction(NamedTuple):
    """A network's outputs for a batch of images; normal and its confidence are None for variants without normals."""

    depth: Tensor  # (N, H, W), metres, of the canonical camera
    confidence: Tensor  # (N, H, W)
    normal: Tensor | None  # (N, 3, H, W), unit, camera optical frame, facing the camera
    normal_confidence: Tensor | None  # (N, H, W), kappa > 0
