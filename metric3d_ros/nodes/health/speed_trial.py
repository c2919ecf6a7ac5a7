"""Measures at which rate smaller inference sizes would run, if a network is too slow for its images."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from metric3d_ros.camera import Camera
from metric3d_ros.errors import Metric3DError
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.estimation.inference_size import AUTO_SIZE
from metric3d_ros.out_of_memory import needing_memory

# A size with hardly fewer pixels would not help.
_FEWER_PIXELS = 0.9
_FASTER = 1.1
"""A rate that is higher by less than this factor is none to advise."""
# The first run at a size also takes memory and plans for it; one that is long anyway is measured well enough.
_LONG_MS = 1000.0
_RUNS = 2

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SlowCase:
    """What was too slow."""

    image_hw: tuple[int, int]
    inference_size: str
    """The parameter."""
    inference_hw: tuple[int, int]
    """Height and width that the network saw."""
    target_rate_hz: float


@dataclass(kw_only=True)
class SpeedTrial:
    """Runs the network at other sizes, once for each case; only the thread that runs the network may measure."""

    estimator: Estimator
    _rates_hz: dict[SlowCase, Mapping[str, float]] = field(default_factory=dict)

    def rates_hz(self, case: SlowCase) -> Mapping[str, float] | None:
        """Return images a second by inference_size ("auto", "trained"), of those sizes that are faster.

        None if this case has not been measured.
        """
        return self._rates_hz.get(case)

    def sizes_hw(self, case: SlowCase) -> dict[str, list[tuple[int, int]]]:
        """Return the sizes that would help, (height, width) by inference_size, the first to be tried first.

        Empty if nothing smaller is to be had: "auto" goes down by itself, and a model of one size cannot.
        """
        if case.inference_size == AUTO_SIZE:
            return {}
        sizes_hw = self.estimator.size.alternatives(case.image_hw, target_rate_hz=case.target_rate_hz)
        helping = {name: [each for each in candidates if _helps(each, case)] for name, candidates in sizes_hw.items()}
        return {name: candidates for name, candidates in helping.items() if candidates}

    def measure(self, case: SlowCase, *, other_s: float, images: int, estimate_s: float) -> None:
        """Time the network at the sizes that would help; takes less than two images did so far.

        Args:
            other_s: what else an image costs, whatever the size.
            images: how many cameras share the time.
            estimate_s: how long the network takes for one image of each of them at present.
        """

        def rate_hz(size_hw: tuple[int, int]) -> float:
            return 1 / (images * (self._time_ms(case.image_hw, size_hw) / 1e3 + other_s))

        least_hz = _FASTER / (estimate_s + images * other_s)
        rates_hz = self._measure(case, rate_hz)
        # Also if something fails: one try is enough.
        self._rates_hz[case] = {name: each_hz for name, each_hz in rates_hz.items() if each_hz > least_hz}

    def _measure(self, case: SlowCase, rate_hz: Callable[[tuple[int, int]], float]) -> dict[str, float]:
        rates_hz: dict[str, float] = {}
        try:
            for name, candidates_hw in self.sizes_hw(case).items():
                for size_hw in candidates_hw:
                    rates_hz[name] = rate_hz(size_hw)
                    if rates_hz[name] >= case.target_rate_hz:
                        break
        except Metric3DError as error:
            _LOG.info("smaller inference sizes could not be timed: %s", error)
        if AUTO_SIZE in rates_hz:
            rates_hz[AUTO_SIZE] = min(rates_hz[AUTO_SIZE], case.target_rate_hz)  # which auto does not exceed
        return rates_hz

    def _time_ms(self, image_hw: tuple[int, int], size_hw: tuple[int, int]) -> float:
        """Return how long an image takes at a size; what it shows makes no difference."""
        height, width = image_hw
        estimator = Estimator(self.estimator.model, inference_size=f"{size_hw[1]}x{size_hw[0]}")
        with needing_memory(f"a trial image of {width}x{height}", remedy="give the node more memory"):
            rgb = np.zeros((height, width, 3), np.uint8)
        camera = Camera.from_focal(width, height, focal_px=float(width))
        time_ms = 0.0
        for _ in range(_RUNS):
            time_ms = sum(estimator.estimate(rgb, camera).timings_ms.values())
            if time_ms > _LONG_MS:
                break
        return time_ms


def _helps(size_hw: tuple[int, int], case: SlowCase) -> bool:
    return math.prod(size_hw) < _FEWER_PIXELS * math.prod(case.inference_hw)
