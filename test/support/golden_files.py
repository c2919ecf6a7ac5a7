"""The golden files: outputs of the published model under the stand-in weights, at every `stride`-th pixel."""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "data" / "golden"
MAPS = ("depth", "confidence", "normal", "normal_confidence")
STRIDES = {"vit_small_168x280": 4}


class Golden:
    def __init__(self, name: str) -> None:
        with np.load(FOLDER / f"{name}.npz") as stored:
            self.rgb = stored["image"]  # (1, 3, H, W) uint8
            self.first_tokens = stored["first_tokens"] if "first_tokens" in stored.files else None  # (1, 8, 384)
            self.maps = {key: stored[key][0] for key in MAPS if key in stored.files}  # each (1 or 3, h, w)
        self.stride = STRIDES.get(name, 1)

    def differences(self, name: str, found: np.ndarray) -> np.ndarray:
        """Return how far each pixel of a full-size map is off: |a - b| / max(|b|, 1), or degrees for `normal`.

        `found` is (H, W), or (3, H, W) for `normal`.
        """
        expected = self.maps[name]
        found = found[..., :: self.stride, :: self.stride].astype(np.float64)
        if name == "normal":
            cross = np.linalg.norm(np.cross(found, expected, axis=0), axis=0)
            return np.degrees(np.arctan2(cross, (found * expected).sum(axis=0)))
        return np.abs(found - expected[0]) / np.maximum(np.abs(expected[0]), 1)
