"""Roots of polynomials within an interval, one by one and in order, so that none is skipped."""

import math
from collections.abc import Sequence
from itertools import pairwise


def first_root(coefficients: Sequence[float], high: float) -> float:
    """Return the least x in (0, high] at which a polynomial changes its sign; infinity if it never does.

    Coefficients are in ascending order and finite. A polynomial is monotonic between the roots of its derivative, so
    that bisection between them, from the line upwards, finds every change of sign.
    """
    return next(iter(_roots(coefficients, high)), math.inf)


def _roots(coefficients: Sequence[float], high: float) -> list[float]:
    largest = max(map(abs, coefficients), default=0.0)
    scaled = [value / largest for value in coefficients] if largest else []
    while scaled and scaled[-1] == 0:
        scaled.pop()
    if len(scaled) < 2:
        return []
    slope = [rank * value for rank, value in enumerate(scaled)][1:]
    knots = [0.0, *_roots(slope, high), high]
    found = []
    for low, upper in pairwise(knots):
        at_low, at_upper = _evaluate(scaled, low), _evaluate(scaled, upper)
        if at_upper == 0 and at_low != 0:
            found.append(upper)
        elif at_low * at_upper < 0:
            found.append(_bisect(scaled, low, upper))
    return found


def _bisect(coefficients: Sequence[float], low: float, high: float) -> float:
    rises = _evaluate(coefficients, low) < 0
    while True:
        middle = (low + high) / 2
        if not low < middle < high or high - low <= 1e-13 * high:
            return middle
        if (_evaluate(coefficients, middle) < 0) == rises:
            low = middle
        else:
            high = middle


def _evaluate(coefficients: Sequence[float], x: float) -> float:
    total = 0.0
    for value in reversed(coefficients):
        total = total * x + value
    return total
