"""A small seeded source of random numbers whose values do not depend on the NumPy version."""

import math
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Rng:
    """Random numbers from integers: the same seeds give the same numbers on every machine and in every release."""

    def __init__(self, *seeds: int) -> None:
        self._random = random.Random(":".join(str(int(seed)) for seed in seeds))

    def uniform(self, low: float, high: float) -> float:
        """Return a number in low..high."""
        return low + (high - low) * self._random.random()

    def integer(self, low: int, high: int) -> int:
        """Return an integer in low..high, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[int(self._random.random() * len(items))]

    def triangular(self, low: float, high: float, mode: float) -> float:
        """Return a number in low..high, most often near `mode`."""
        share = self._random.random()
        cut = (mode - low) / (high - low)
        if share < cut:
            return low + math.sqrt((high - low) * (mode - low) * share)
        return high - math.sqrt((high - low) * (high - mode) * (1 - share))
