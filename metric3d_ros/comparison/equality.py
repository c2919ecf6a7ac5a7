"""Whether two models give the same metres: what must be true before their times are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros.estimation.estimator import NORMALS

MOST_PIXELS = 0.999
_ALL_FACTOR = 10.0
"""Every pixel may be off by so many times what 99.9 % of them may: rounding alone moves single pixels far."""
_DEGREES_PER_RELATIVE = 100.0
"""A tolerance of 1e-3 is 0.1 degrees for normals."""

Maps = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one output is off: |a - b| / max(|b|, 1), or degrees for normals, over all pixels that have a value."""

    output: str
    most: float
    """The largest but for the worst 0.1 % of the pixels; infinite where shapes, or pixels without a value, differ."""
    largest: float

    @property
    def unit(self) -> str:
        return " deg" if self.output == NORMALS else ""

    def limit(self, tolerance: float) -> float:
        """Return what `most` may be."""
        return tolerance * (_DEGREES_PER_RELATIVE if self.output == NORMALS else 1.0)

    def acceptable(self, tolerance: float) -> bool:
        """Return whether it is within the tolerance, NaN never being so."""
        limit = self.limit(tolerance)
        return self.most <= limit and self.largest <= _ALL_FACTOR * limit

    def to_json(self) -> dict[str, Any]:
        """Return it for JSON, which has no word for infinity."""
        most, largest = (value if np.isfinite(value) else None for value in (self.most, self.largest))
        return {"most": most, "largest": largest, "unit": self.unit.strip() or "|a - b| / max(|b|, 1)"}


def compare(found: Maps, expected: Maps) -> list[Difference]:
    """Compare the outputs that `expected` has; one that `found` lacks is infinitely different."""
    return [_compare(name, found.get(name), array) for name, array in expected.items()]


def describe_excess(differences: list[Difference], tolerance: float) -> str | None:
    """Return in words which output is off by the most beyond the tolerance; None if all are acceptable."""
    bad = [each for each in differences if not each.acceptable(tolerance)]
    if not bad:
        return None
    worst = max(bad, key=lambda each: each.most / each.limit(tolerance))
    return (
        f"{worst.output} differs by {worst.most:.1e}{worst.unit} (largest {worst.largest:.1e}), accepted "
        f"{worst.limit(tolerance):.0e}{worst.unit}"
    )


def _compare(output: str, found: npt.NDArray[np.float32] | None, expected: npt.NDArray[np.float32]) -> Difference:
    infinite = Difference(output=output, most=float("inf"), largest=float("inf"))
    if found is None or found.shape != expected.shape:
        return infinite
    a, b = found.astype(np.float64), expected.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return infinite
    if output == NORMALS:
        # By the chord: arccos of a dot product has no digits left at small angles.
        errors = np.degrees(2 * np.arcsin(np.minimum(np.linalg.norm(a - b, axis=-1) / 2, 1)))
    else:
        errors = np.abs(a - b) / np.maximum(np.abs(b), 1)
    errors = errors[np.isfinite(errors)]
    if not errors.size:
        return infinite
    return Difference(output=output, most=float(np.quantile(errors, MOST_PIXELS)), largest=float(errors.max()))
