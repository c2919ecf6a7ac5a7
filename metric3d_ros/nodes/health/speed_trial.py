"""Measures, where a network is too slow for its images, at which rate smaller inference sizes would run."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from metric3d_ros import model_contract
from metric3d_ros.camera import Camera
from metric3d_ros.errors import Metric3DError
from metric3d_ros.estimation.adaptive_size import AdaptiveSize
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.estimation.inference_size import AUTO_SIZE, TRAINED, InferenceSize

# A size with hardly fewer pixels would not help.
_WORTH_TRYING = 0.9
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
        """Return images a second by inference_size ("auto", "trained"), empty where nothing smaller is to be had.

        None where this case has not been measured.
        """
        return self._rates_hz.get(case)

    def measure(self, case: SlowCase, *, other_s: float, images: int) -> None:
        """Time the network at the sizes that would help; takes less than two images did so far.

        Args:
            other_s: what else an image costs, whatever the size.
            images: how many cameras share the time.
        """

        def rate_hz(size_hw: tuple[int, int]) -> float:
            return 1 / (images * (self._time_ms(case.image_hw, size_hw) / 1e3 + other_s))

        self._rates_hz[case] = self._measure(case, rate_hz)  # also if something fails: one try is enough

    def _measure(self, case: SlowCase, rate_hz: Callable[[tuple[int, int]], float]) -> dict[str, float]:
        rates_hz: dict[str, float] = {}
        if self.estimator.engine.fixed_size_hw is not None or case.inference_size == AUTO_SIZE:
            return rates_hz
        try:
            for size_hw in self._auto_sizes(case):
                rates_hz[AUTO_SIZE] = min(rate_hz(size_hw), case.target_rate_hz)
                if rates_hz[AUTO_SIZE] >= case.target_rate_hz:
                    break
            trained_hw = self._trained_size(case)
            if trained_hw is not None:
                rates_hz[TRAINED] = rate_hz(trained_hw)
        except Metric3DError as error:
            _LOG.info("smaller inference sizes could not be timed: %s", error)
        return rates_hz

    def _auto_sizes(self, case: SlowCase) -> list[tuple[int, int]]:
        """Return the size at which auto begins and the smallest one that it may come down to, if those would help."""
        training_hw, engine = self.estimator.training_size_hw, self.estimator.engine
        adaptive = AdaptiveSize(
            case.image_hw,
            largest_hw=InferenceSize.parse(AUTO_SIZE).choose(case.image_hw, training_size_hw=training_hw),
            size_multiple=engine.metadata.size_multiple if engine.metadata else model_contract.FOREIGN_SIZE_MULTIPLE,
            target_rate_hz=case.target_rate_hz,
        )
        sizes_hw = dict.fromkeys([adaptive.size_hw, adaptive.sizes_hw[0]])
        return [size_hw for size_hw in sizes_hw if _helps(size_hw, case)]

    def _trained_size(self, case: SlowCase) -> tuple[int, int] | None:
        training_hw = self.estimator.training_size_hw
        if training_hw is None:
            return None
        size_hw = InferenceSize.parse(TRAINED).choose(case.image_hw, training_size_hw=training_hw)
        return size_hw if _helps(size_hw, case) else None

    def _time_ms(self, image_hw: tuple[int, int], size_hw: tuple[int, int]) -> float:
        """Return how long an image takes at a size; what it shows makes no difference."""
        height, width = image_hw
        estimator = Estimator(self.estimator.engine, inference_size=f"{size_hw[1]}x{size_hw[0]}")
        rgb, camera = np.zeros((height, width, 3), np.uint8), Camera.from_focal(width, height, focal_px=float(width))
        time_ms = 0.0
        for _ in range(_RUNS):
            time_ms = sum(estimator.estimate(rgb, camera).timings_ms.values())
            if time_ms > _LONG_MS:
                break
        return time_ms


def _helps(size_hw: tuple[int, int], case: SlowCase) -> bool:
    return math.prod(size_hw) < _WORTH_TRYING * math.prod(case.inference_hw)
