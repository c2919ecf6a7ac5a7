"""The inference size as a user sets it, and the size that follows for an image."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from metric3d_ros.errors import ConfigurationError

MIN_SIDE_PX = 28
NATIVE, TRAINED, PUBLISHED, AUTO_SIZE = "native", "trained", "published", "auto"

FAR_ABOVE_TRAINED = 1.5
"""Beyond this many times the pixels that it was trained with, a network's depth is known to degrade."""


@dataclass(frozen=True)
class InferenceSize:
    """At which size the network sees an image; outputs come back at the image's own size in every case.

    `max_width` x `max_height` and `max_pixels` are caps that keep the aspect and never enlarge; `trained` asks for the
    largest size of the image's aspect within the pixel count that the network was trained with; `published` for the
    training size itself, into which images are fitted and padded; `auto` for whatever holds a rate, which
    `AdaptiveSize` finds.
    """

    trained: bool = False
    published: bool = False
    auto: bool = False
    max_width: int | None = None
    max_height: int | None = None
    max_pixels: float | None = None

    @classmethod
    def parse(cls, text: str) -> InferenceSize:
        """Read "native", "trained", "published", "auto", "WIDTHxHEIGHT" (pixels) or megapixels such as "0.5MP".

        Raises:
            ConfigurationError: any other text, or a size below 28 pixels.
        """
        words = text.strip().lower()
        if words == NATIVE:
            return cls()
        if words == TRAINED:
            return cls(trained=True)
        if words == PUBLISHED:
            return cls(published=True)
        if words == AUTO_SIZE:
            return cls(auto=True)
        if size := re.fullmatch(r"(\d+)\s*x\s*(\d+)", words):
            width, height = int(size[1]), int(size[2])
            if min(width, height) >= MIN_SIDE_PX:
                return cls(max_width=width, max_height=height)
        elif megapixels := re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(?:mp|megapixels)", words):
            pixels = float(megapixels[1]) * 1e6
            if pixels >= MIN_SIDE_PX**2:
                return cls(max_pixels=pixels)
        raise ConfigurationError(
            f"inference_size is '{text}', expected 'native', 'trained', 'published', 'auto', WIDTHxHEIGHT such as "
            f"'640x480' (at least {MIN_SIDE_PX}x{MIN_SIDE_PX}) or megapixels such as '0.5MP'"
        )

    def choose(self, image_hw: tuple[int, int], *, training_size_hw: tuple[int, int] | None) -> tuple[int, int]:
        """Return the (height, width) that an image of `image_hw` is resized to.

        The largest allowed if it is `auto`; what the image is fitted into if it is `published`.

        Raises:
            ConfigurationError: "trained" or "published", for a model whose training size is not known.
        """
        if self.trained or self.published:
            if training_size_hw is None:
                asked = TRAINED if self.trained else PUBLISHED
                raise ConfigurationError(
                    f"inference_size '{asked}' needs a model that states its training size, and this one does not: "
                    f"use '{NATIVE}' or WIDTHxHEIGHT"
                )
            if self.published:
                return training_size_hw
            return scale_size(image_hw, math.sqrt(math.prod(training_size_hw) / math.prod(image_hw)))
        if self.auto and training_size_hw is not None:
            return limit_pixels(image_hw, FAR_ABOVE_TRAINED * math.prod(training_size_hw))
        if self.max_pixels is not None:
            return limit_pixels(image_hw, self.max_pixels)
        if self.max_width is not None and self.max_height is not None:
            return scale_size(image_hw, min(1.0, self.max_width / image_hw[1], self.max_height / image_hw[0]))
        return image_hw


def fit_within(image_hw: tuple[int, int], fixed_size_hw: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Return the (height, width) of an image that just fits into `fixed_size_hw` with its aspect, and the factor."""
    scale = min(fixed_size_hw[0] / image_hw[0], fixed_size_hw[1] / image_hw[1])
    height, width = (min(round(side * scale), most) for side, most in zip(image_hw, fixed_size_hw, strict=True))
    return (max(height, 1), max(width, 1)), scale


def limit_pixels(size_hw: tuple[int, int], max_pixels: float) -> tuple[int, int]:
    """Return the largest size of the same aspect with at most `max_pixels`, never a larger one."""
    return scale_size(size_hw, min(1.0, math.sqrt(max_pixels / math.prod(size_hw))))


def scale_size(size_hw: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return `size_hw` times `scale`, rounded down; at least 28 on each side."""
    if scale == 1.0:
        return size_hw
    # A side that is whole but for rounding must not lose a pixel.
    height, width = (max(MIN_SIDE_PX, math.floor(side * scale + 1e-6)) for side in size_hw)
    return height, width
