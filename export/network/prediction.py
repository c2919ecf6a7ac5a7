"""What every variant's network returns."""

from typing import NamedTuple

from torch import Tensor


class Prediction(NamedTuple):
    """What a network says of an image; normal and its confidence are None for the variants without normals."""

    depth: Tensor  # (N, H, W), metres, of the canonical camera
    confidence: Tensor  # (N, H, W)
    normal: Tensor | None  # (N, 3, H, W), unit, camera optical frame, facing the camera
    normal_confidence: Tensor | None  # (N, H, W), kappa > 0
