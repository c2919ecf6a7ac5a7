"""Percentiles of times, and ratios of times that were taken in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Percentiles of `count` times, in milliseconds; between two times they are interpolated."""

    count: int
    p50: float
    p90: float
    p99: float
    mean: float

    @classmethod
    def of(cls, times_ms: Sequence[float]) -> Summary:
        """Summarise at least one time."""
        p50, p90, p99 = (float(value) for value in np.percentile(times_ms, [50, 90, 99]))
        return cls(count=len(times_ms), p50=p50, p90=p90, p99=p99, mean=float(np.mean(times_ms)))


@dataclass(frozen=True, kw_only=True)
class PairedRatio:
    """The ratio of a candidate's time to the baseline's: the median over `pairs` of neighbouring runs.

    `low` and `high` are the quartiles: half of the pairs lie between them.
    """

    pairs: int
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, times_ms: Sequence[float], baseline_ms: Sequence[float]) -> PairedRatio:
        """Compare times with those of the baseline's run of the same round; at least one of each, and as many."""
        ratios = np.divide(np.asarray(times_ms, np.float64), np.asarray(baseline_ms, np.float64))
        low, median, high = (float(value) for value in np.percentile(ratios, [25, 50, 75]))
        return cls(pairs=ratios.size, median=median, low=low, high=high)
