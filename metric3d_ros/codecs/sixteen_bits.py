"""16-bit samples to the 8 bits that networks see: over the full range, a given one, or the one that a camera uses."""

import math
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ConfigurationError

Bytes = NDArray[np.uint8]
ToEightBit = Callable[[NDArray[Any]], Bytes]
"""Maps uint16 samples of either byte order, of any shape, to uint8."""

AUTO_RANGE, FULL = "auto", "full"
TIME_CONSTANT_S = 2.0

_MOST = 65535
_LEVELS = 255
_LOW_PERCENT, _HIGH_PERCENT = 0.5, 99.5
# Enough for percentiles; at 1080p they take 1 ms instead of 30.
_SAMPLES_A_SIDE = 100
# An image that uses half of the range or more has 128 levels as it is, and looks as it does in other ROS tools; one
# that uses a quarter or less, as 14 bits in 16 do, is stretched; in between, from the one to the other.
_STRETCHED_SHARE, _LEFT_SHARE = 0.25, 0.5
_NEW_SCENE_TIMES = 4.0
_MIN_MAX = re.compile(r"(\d{1,5})-(\d{1,5})")


@dataclass(frozen=True)
class SampleRange:
    """The samples that become 0 and 255; what is outside becomes the nearer of the two."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.0f} to {self.high:.0f}"


FULL_RANGE = SampleRange(0, _MOST)


def to_8_bit(array: NDArray[Any], sample_range: SampleRange = FULL_RANGE) -> Bytes:
    """Scale uint16 samples of either byte order linearly to uint8, rounded to nearest: 65535 becomes 255 by default."""
    native = np.ascontiguousarray(array, dtype=np.uint16)
    if sample_range.low > 0:  # convertScaleAbs would make what is below it positive again
        native = np.maximum(native, np.uint16(math.ceil(sample_range.low)))
    scale = _LEVELS / (sample_range.high - sample_range.low)
    return np.asarray(cv2.convertScaleAbs(native, alpha=scale, beta=-sample_range.low * scale), dtype=np.uint8)


def parse_sample_range(text: str) -> SampleRange | None:
    """Return the range that "full" or "MIN-MAX" names; None for "auto".

    Raises ConfigurationError for anything else.
    """
    if text == AUTO_RANGE:
        return None
    if text == FULL:
        return FULL_RANGE
    ends = _MIN_MAX.fullmatch(text)
    if ends is not None and int(ends[1]) < int(ends[2]) <= _MOST:
        return SampleRange(int(ends[1]), int(ends[2]))
    raise ConfigurationError(
        f"parameter sixteen_bit_range is {text!r}, expected auto, full, or MIN-MAX such as 7500-7900"
    )


def fit_sample_range(array: NDArray[Any]) -> SampleRange:
    """Return the range to show an image's uint16 samples (H, W) or (H, W, C) over.

    It spans the middle 99 % of the samples, but not fewer than 255 counts, which are as many levels as 8 bits have.
    Images that use much of the full range keep it.
    """
    # Odd steps, so that every colour of a Bayer mosaic is among them.
    steps = tuple(max(size // _SAMPLES_A_SIDE, 1) | 1 for size in array.shape[:2])
    some = array[:: steps[0], :: steps[1]]
    low, high = np.percentile(some, (_LOW_PERCENT, _HIGH_PERCENT), method="nearest").astype(float)
    share = (high - low) / _MOST
    kept = min(max((share - _STRETCHED_SHARE) / (_LEFT_SHARE - _STRETCHED_SHARE), 0.0), 1.0)
    low, high = low * (1 - kept), high + (_MOST - high) * kept
    span = max(high - low, _LEVELS)
    low = min(max((low + high - span) / 2, 0.0), _MOST - span)
    return SampleRange(float(low), float(low + span))


class SteadySampleRange:
    """Follows the range that one camera's 16-bit images use, slowly, so that equal light keeps its brightness.

    Both ends move towards those that fit the newest image by 1 - exp(-t / time constant), where t is the time between
    the images' stamps. It restarts with the first image, when images change (another camera, size or encoding), when
    stamps go back or stand still, and for a new scene: one that lies outside, or spans four times as much.

    Attributes:
        used: the range of the newest 16-bit image; None before the first.
    """

    def __init__(self, *, time_constant_s: float = TIME_CONSTANT_S) -> None:
        self._time_constant_s = time_constant_s
        self._followed: SampleRange | None = None
        self._of: Hashable = None
        self._stamp_ns = 0
        self.used: SampleRange | None = None

    def converter(self, setting: str, *, stamp_ns: int, of: Hashable = None) -> ToEightBit:
        """Return what makes 8 bits of an image of that stamp; `setting` as `parse_sample_range` takes it.

        `of` identifies the stream; images of different streams share no range. It need not contain shape and dtype.
        It is only called for 16-bit images, and nothing is looked at before.
        """

        def convert(array: NDArray[Any]) -> Bytes:
            self.used = parse_sample_range(setting) or self._follow(array, stamp_ns=stamp_ns, of=of)
            return to_8_bit(array, self.used)

        return convert

    def _follow(self, array: NDArray[Any], *, stamp_ns: int, of: Hashable) -> SampleRange:
        key, fitting, last = (of, array.shape), fit_sample_range(array), self._followed
        elapsed_s = (stamp_ns - self._stamp_ns) / 1e9
        if last is None or key != self._of or elapsed_s <= 0 or _is_new_scene(fitting, last):
            followed = fitting
        else:
            part = -math.expm1(-elapsed_s / self._time_constant_s)
            followed = SampleRange(
                last.low + (fitting.low - last.low) * part, last.high + (fitting.high - last.high) * part
            )
        self._followed, self._of, self._stamp_ns = followed, key, stamp_ns
        return followed


def _is_new_scene(fitting: SampleRange, last: SampleRange) -> bool:
    outside = fitting.low > last.high or fitting.high < last.low
    return outside or fitting.high - fitting.low > _NEW_SCENE_TIMES * (last.high - last.low)
