"""Finds the largest inference size that holds a frame rate on this machine, from the time of each frame."""

from __future__ import annotations

import collections
import math
import statistics

from metric3d_ros.estimation.inference_size import MIN_SIDE_PX

_STEP = 1.08
"""Each size has at least this many times the pixels of the one below it."""
_FIRST_PIXELS = 60_000
"""Where to begin: small enough for slow machines, large enough to measure the speed of this one."""

_FULL = 0.9
"""A larger size is tried only if it is expected to leave a tenth of the time free: that is the hysteresis, and a margin
for noise."""
_LEAST_SAMPLES, _SAMPLES = 3, 5
_MUCH_TOO_SLOW = 2.0
"""A single frame that takes this many times the period is enough to step down."""
_LEAST_HOLD, _MOST_HOLD = 5, 320
"""Frames to stay at a size before a larger one is tried; doubled each time that the larger one did not last."""
_LASTED = 20


class AdaptiveSize:
    """Chooses the inference size for images of one size, from the time that each frame took; the caller measures it.

    A frame's time is modelled as a constant, a part in proportion to its pixels and one in proportion to their square
    (attention). So a step up costs at most the square of the growth in pixels. Several sizes may be skipped if even
    that fits. If it does not, the next size is tried once if its pixels alone would fit. How its time compares is
    remembered, so that one that did not fit is not tried again until everything has become faster.
    """

    def __init__(
        self, image_hw: tuple[int, int], *, largest_hw: tuple[int, int], size_multiple: int, target_rate_hz: float
    ) -> None:
        """Start with a small size.

        Args:
            image_hw: (height, width) of the images.
            largest_hw: the largest size to choose, of the same aspect ratio.
            size_multiple: pixels; sizes are multiples of it on their longer side, so that there are few of them.
            target_rate_hz: frames a second to hold.
        """
        self._multiple = size_multiple
        self._period_ms = 1e3 / target_rate_hz
        self.sizes_hw = size_ladder(image_hw, largest_hw=largest_hw, size_multiple=size_multiple)
        """All that can be chosen, the smallest first."""
        self._costs = [self._padded_pixels(size) for size in self.sizes_hw]
        fitting = [i for i, cost in enumerate(self._costs) if cost <= _FIRST_PIXELS]
        self._rung = fitting[-1] if fitting else 0
        self._times_ms: collections.deque[float] = collections.deque(maxlen=_SAMPLES)
        self._frames_here = 0
        self._hold = _LEAST_HOLD
        self._came_up = False
        self._came_from: tuple[int, float] | None = None
        self._ratios: dict[tuple[int, int], float] = {}
        """Time at a size over the time at a smaller one, as measured when one replaced the other."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) for the next frame."""
        return self.sizes_hw[self._rung]

    def add(self, size_hw: tuple[int, int], time_ms: float, *, other_ms: float = 0.0) -> tuple[int, int]:
        """Record a frame's time and return the size for the next one.

        Args:
            size_hw: at which it was; one that is not the present size is not counted.
            time_ms: how long it took at that size.
            other_ms: what else each frame costs, whatever its size; the period must suffice for both.
        """
        if size_hw != self.size_hw:
            return self.size_hw
        self._frames_here += 1
        budget_ms = max(self._period_ms - other_ms, 1e-3)
        if time_ms > _MUCH_TOO_SLOW * budget_ms:
            self._step_down(time_ms, budget_ms)
            return self.size_hw
        if self._frames_here == 1:
            return self.size_hw  # the first one of a size allocates memory and plans for it
        self._times_ms.append(time_ms)
        if len(self._times_ms) < _LEAST_SAMPLES:
            return self.size_hw
        usual_ms = statistics.median(self._times_ms)
        self._compare(usual_ms)
        if usual_ms > budget_ms:
            self._step_down(usual_ms, budget_ms)
        elif self._frames_here > self._hold:
            self._step_up(usual_ms, budget_ms)
        return self.size_hw

    def _compare(self, time_ms: float) -> None:
        """Remember how the time here compares with that of the size before."""
        if self._came_from is None:
            return
        (before, before_ms), self._came_from = self._came_from, None
        low, high = sorted((before, self._rung))
        ratio = before_ms / time_ms if high == before else time_ms / before_ms
        # Ratios outside of this come from a load that changed at the same time.
        self._ratios[low, high] = min(max(ratio, 1.0), self._growth(low, high) ** 2)

    def _step_down(self, time_ms: float, budget_ms: float) -> None:
        if self._rung == 0:
            return
        here, goal_ms = self._rung, _FULL * budget_ms
        ratios = [self._ratios.get((rung, here), self._growth(rung, here)) for rung in range(here)]
        fitting = [rung for rung, ratio in enumerate(ratios) if time_ms / ratio <= goal_ms]
        if self._came_up:
            # What was chosen a moment ago did not last: be slower to try it again.
            short = self._frames_here < _LASTED
            self._hold = min(2 * self._hold, _MOST_HOLD) if short else _LEAST_HOLD
        self._move(fitting[-1] if fitting else 0, time_ms)

    def _step_up(self, time_ms: float, budget_ms: float) -> None:
        here, goal_ms = self._rung, _FULL * budget_ms
        above = range(here + 1, len(self.sizes_hw))
        fitting = [rung for rung in above if time_ms * self._most_ratio(here, rung) <= goal_ms]
        if not fitting and above and (here, here + 1) not in self._ratios:
            fitting = [here + 1] if time_ms * self._growth(here, here + 1) <= goal_ms else []
        if fitting:
            self._move(fitting[-1], time_ms)

    def _most_ratio(self, low: int, high: int) -> float:
        """Return how many times as long the larger of two sizes takes at most."""
        return self._ratios.get((low, high), self._growth(low, high) ** 2)

    def _growth(self, low: int, high: int) -> float:
        return self._costs[high] / self._costs[low]

    def _move(self, rung: int, time_ms: float) -> None:
        self._came_from, self._came_up = (self._rung, time_ms), rung > self._rung
        self._rung = rung
        self._times_ms.clear()
        self._frames_here = 0

    def _padded_pixels(self, size_hw: tuple[int, int]) -> int:
        return math.prod(-(-side // self._multiple) * self._multiple for side in size_hw)


def size_ladder(image_hw: tuple[int, int], *, largest_hw: tuple[int, int], size_multiple: int) -> list[tuple[int, int]]:
    """Return sizes of the image's aspect up to `largest_hw`, the smallest first.

    Their longer side is a multiple of `size_multiple`, but for that of the largest; each has at least 8 % more pixels
    than the one before, and 28 on each side.
    """
    longer = max(image_hw)
    ladder = [largest_hw]
    for side in range((max(largest_hw) - 1) // size_multiple * size_multiple, 0, -size_multiple):
        height, width = (max(1, round(length * side / longer)) for length in image_hw)
        if min(height, width) < MIN_SIDE_PX:
            break
        if height * width * _STEP <= math.prod(ladder[-1]):
            ladder.append((height, width))
    return ladder[::-1]
