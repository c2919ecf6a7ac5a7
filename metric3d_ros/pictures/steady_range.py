"""The range of depth that a stream's colours span: fitted to each image, but smoothed from one to the next."""

import math
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from metric3d_ros.pictures.colours import DEFAULT_RANGE_M, fit_range

TIME_CONSTANT_S = 0.5
# Both ends of the range follow smoothly what a camera sees while it moves; twice or half as far is another scene.
_JUMP = math.log(2.0)


class SteadyRange:
    """Follows the range of one camera's images smoothly, so that a colour means the same in neighbouring ones.

    Each end moves towards the one that fits the newest image by 1 - exp(-t / time constant) of their ratio, where t is
    the time between the images' stamps: after the time constant it has followed 63 % of a change, at any rate of
    images. It restarts with the first image, when images change (another camera, another size), when stamps go back or
    stand still, as those that a driver leaves at 0, and when an end jumps to the double or half.
    """

    def __init__(self, *, time_constant_s: float = TIME_CONSTANT_S) -> None:
        self._time_constant_s = time_constant_s
        self._logs: NDArray[np.float64] | None = None
        self._of: Hashable = None
        self._stamp_ns = 0

    def follow(self, depth_m: NDArray[np.float32], *, stamp_ns: int, of: Hashable = None) -> tuple[float, float]:
        """Take an image's depth (H, W), metres; return the near and the far end, metres, to paint it with.

        `of` identifies the stream; images of different streams share no range. It need not contain their size. An
        image without any valid depth changes nothing.
        """
        key = (of, depth_m.shape)
        fitting = fit_range(depth_m)
        if fitting is None:
            return DEFAULT_RANGE_M if self._logs is None or key != self._of else self._range_m()
        logs = np.log(fitting)
        elapsed_s = (stamp_ns - self._stamp_ns) / 1e9
        if self._logs is None or key != self._of or elapsed_s <= 0 or np.abs(logs - self._logs).max() > _JUMP:
            self._logs = logs
        else:
            self._logs = self._logs + (logs - self._logs) * -math.expm1(-elapsed_s / self._time_constant_s)
        self._of, self._stamp_ns = key, stamp_ns
        return self._range_m()

    def _range_m(self) -> tuple[float, float]:
        assert self._logs is not None
        near_m, far_m = np.exp(self._logs)
        return float(near_m), float(far_m)
