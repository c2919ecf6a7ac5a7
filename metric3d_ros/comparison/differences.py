"""How far one output of a model is from another's: one record, its limits, and the one way to compute it.

The export's verification and its guard use it, and the benchmark, which times only what is equal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


class Measure(enum.Enum):
    """How a pixel's difference is measured, a being what was found and b what was expected."""

    ABSOLUTE_BELOW_ONE = "|a - b| / max(|b|, 1)"
    RATIO = "|a / b - 1|"
    """Of values that must be positive."""
    ANGLE = "angle between unit vectors"

    @property
    def unit(self) -> str:
        """What follows a number; empty for a number without a unit."""
        return " deg" if self is Measure.ANGLE else ""


class Figure(enum.Enum):
    """One number for all pixels of an output."""

    LARGEST = "max"
    MOST = "99.9 %"
    """The largest but for the worst 0.1 % of the pixels."""
    NEARLY_MOST = "99 %"
    MEDIAN = "median"
    MEAN = "mean"
    SCALE_DRIFT = "scale drift"
    """|median(a) / median(b) - 1|."""
    UNUSABLE = "values that are not finite, or not positive"
    """Infinite, and the only figure, of outputs that cannot be compared: their shapes differ too, or one is missing."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How an output is compared, and the limit of each figure; `inf` only reports the figure."""

    measure: Measure
    most: Mapping[Figure, float]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one output of one case is off, and what it may be off by."""

    output: str
    case: str
    """Which images were compared: the size of a batch, for instance."""
    measure: Measure
    figures: Mapping[Figure, float]
    limits: Mapping[Figure, float]

    def __getitem__(self, figure: Figure) -> float:
        """Return a figure; infinity if the outputs cannot be compared."""
        return float("inf") if Figure.UNUSABLE in self.figures else self.figures[figure]

    def limit(self, figure: Figure) -> float:
        """Return what a figure may be."""
        return 0.0 if figure is Figure.UNUSABLE else self.limits[figure]

    def is_within(self, figure: Figure) -> bool:
        """Whether a figure is within its limit, which NaN never is."""
        return self.figures[figure] <= self.limit(figure)

    def excess(self, figure: Figure) -> float:
        """Return how many times its limit a figure is."""
        return self.figures[figure] / self.limit(figure) if self.limit(figure) else float("inf")

    @property
    def acceptable(self) -> bool:
        """Whether every figure is within its limit."""
        return all(self.is_within(figure) for figure in self.figures)

    def name(self, figure: Figure) -> str:
        """Return what the figure is called in a text."""
        return "mean angle" if (figure, self.measure) == (Figure.MEAN, Measure.ANGLE) else figure.value

    def unit(self, figure: Figure) -> str:
        """Return the unit of the figure, after a blank, or nothing."""
        return "" if figure is Figure.UNUSABLE else self.measure.unit


_LARGEST_PER_MOST = 10.0
"""Every pixel may be off by so many times what 99.9 % of them may: rounding alone moves single pixels far. The golden
files, float32 themselves, are off by 2e-4 in single pixels from what the same network gives in float64."""
_DEGREES_PER_RELATIVE = 100.0
"""A tolerance of 1e-3 is 0.1 degrees for normals."""


def equality_limits(tolerance: float, measure: Measure = Measure.ABSOLUTE_BELOW_ONE) -> Limits:
    """Return the limits of outputs that are the same but for rounding; the mean is only reported."""
    most = tolerance * (_DEGREES_PER_RELATIVE if measure is Measure.ANGLE else 1.0)
    figures = {Figure.LARGEST: _LARGEST_PER_MOST * most, Figure.MOST: most, Figure.MEAN: float("inf")}
    return Limits(measure=measure, most=figures)


def compare(
    output: str, found: Array | None, expected: Array, limits: Limits, *, case: str = "", holes: bool = False
) -> Difference:
    """Compare what was found of an output with what was expected.

    Args:
        output: its name, for the record.
        found: None if there is no such output.
        expected: any shape; unit vectors along the last axis for `Measure.ANGLE`.
        limits: how it is compared, and what it may be off by.
        case: which images these are, for the record.
        holes: pixels may have no value (NaN), if they have none in both; such pixels are not compared.
    """
    errors = None if found is None else _errors(found, expected, limits.measure, holes=holes)
    if found is None or errors is None:
        figures = {Figure.UNUSABLE: float("inf")}
    else:
        figures = {figure: _measure(figure, errors, found, expected) for figure in limits.most}
    return Difference(output=output, case=case, measure=limits.measure, figures=figures, limits=limits.most)


def _errors(found: Array, expected: Array, measure: Measure, *, holes: bool) -> npt.NDArray[np.float64] | None:
    """Return every pixel's difference; None if the two cannot be compared."""
    if found.shape != expected.shape:
        return None
    a, b = found.astype(np.float64), expected.astype(np.float64)
    known = np.isfinite(a)
    if not np.array_equal(known, np.isfinite(b)) or not (holes or known.all()):
        return None
    if measure is Measure.RATIO:
        if not (a[known] > 0).all():
            return None
        errors = np.abs(a / b - 1)
    elif measure is Measure.ANGLE:
        # By the chord: arccos of a dot product has no digits left at small angles.
        errors = np.degrees(2 * np.arcsin(np.minimum(np.linalg.norm(a - b, axis=-1) / 2, 1)))
    else:
        errors = np.abs(a - b) / np.maximum(np.abs(b), 1)
    if holes:
        errors = errors[np.isfinite(errors)]
    return np.asarray(errors) if errors.size else None


def _measure(figure: Figure, errors: npt.NDArray[np.float64], found: Array, expected: Array) -> float:
    if figure is Figure.SCALE_DRIFT:
        return abs(float(np.median(found.astype(np.float64)) / np.median(expected)) - 1)
    if figure is Figure.MEAN:
        return float(errors.mean())
    if figure is Figure.MEDIAN:
        return float(np.median(errors))
    if figure is Figure.LARGEST:
        return float(errors.max())
    return float(np.quantile(errors, 0.999 if figure is Figure.MOST else 0.99))
