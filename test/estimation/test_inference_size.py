"""The inference size that users write: what is understood, and which size it gives an image."""

from __future__ import annotations

import pytest
import tiny_models

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.inference_size import InferenceSize

METRES = tiny_models.METRES_PER_LEVEL


@pytest.mark.parametrize(
    ("text", "image_hw", "expected"),
    [
        ("native", (1080, 1920), (1080, 1920)),
        ("640x480", (1080, 1920), (360, 640)),
        ("640x480", (1000, 500), (480, 240)),
        ("640x480", (100, 200), (100, 200)),
        ("0.5MP", (1000, 2000), (500, 1000)),
        ("0.5 megapixels", (100, 100), (100, 100)),
        ("trained", (1000, 2000), (560, 1120)),
        ("trained", (100, 200), (560, 1120)),
        ("28x28", (100, 1000), (28, 28)),
    ],
)
def test_inference_size_keeps_the_aspect_and_only_trained_enlarges(text, image_hw, expected):
    assert InferenceSize.parse(text).choose(image_hw, training_size_hw=(560, 1120)) == expected


@pytest.mark.parametrize("text", ["", "big", "0x0", "20x20", "640", "640x", "-1MP", "0MP", "nan", "1e3MP"])
def test_unreadable_inference_size_is_refused(text):
    with pytest.raises(ConfigurationError, match="expected 'native'"):
        InferenceSize.parse(text)
