"""The array library that renders the world, and the few operations that differ between libraries.

All rendering functions take `ops`, so that the renderer of the demo (NumPy) and the one of training data (PyTorch) run
the same code and cannot diverge. Loops over solids and lights are among these operations: NumPy iterates over the
rows, so that its arrays stay in the cache, and PyTorch makes them an axis that its compiler turns into one loop,
however many there are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

Array = Any  # an array of whichever library `ops` stands for
FAR = 1e6


class Vectors(NamedTuple):
    """Three-vectors, one array (..., P) per component."""

    x: Array
    y: Array
    z: Array


@dataclass(frozen=True)
class Row:
    """One row of a table of solids or of lights, or for each ray the row that belongs to it.

    `column` returns a column's value in a shape that goes with rays. `upright` tells that a solid is known not to be
    turned, which saves NumPy some work.
    """

    column: Callable[[int], Array]
    upright: bool = False

    def vector(self, first: int) -> Vectors:
        """Return three columns as a vector."""
        return Vectors(self.column(first), self.column(first + 1), self.column(first + 2))

    def to_local(self, vector: Vectors) -> Vectors:
        """Turn a vector of the world into the solid's frame."""
        if self.upright:
            return vector
        return Vectors(
            *(
                self.column(3 * a) * vector.x + self.column(3 * a + 1) * vector.y + self.column(3 * a + 2) * vector.z
                for a in range(3)
            )
        )

    def to_world(self, vector: Vectors) -> Vectors:
        """Turn a vector of the solid's frame into the world."""
        if self.upright:
            return vector
        return Vectors(
            *(
                self.column(a) * vector.x + self.column(3 + a) * vector.y + self.column(6 + a) * vector.z
                for a in range(3)
            )
        )


@dataclass(frozen=True)
class ArrayOps:
    """An array library and the operations that differ between libraries. Tables are (..., K, columns), rays (..., P).

    The functions given to the last three take a `Row` and the rays; rays are arrays or `Vectors`.

    Attributes:
        xp: numpy, torch: where, abs, floor, sqrt, exp, minimum, maximum, clip, zeros_like.
        lookup: (table (..., N), ids (..., P)) -> (..., P).
        gather: (table, ids (..., P)) -> for each ray its `Row`.
        matters: (mask) -> whether to compute what counts only if the mask is true anywhere.
        nearest: (table, distance, *rays) -> the least distance over the rows, FAR if there is none, and its row.
        product: (table, factor, *rays) -> the product of the factors over the rows.
        total: (table, parts, *rays) -> the sums of the parts over the rows; `Shares` among the rays differ by row.
    """

    xp: Any
    to_int32: Callable[[Array], Array]
    to_float32: Callable[[Array], Array]
    lookup: Callable[[Array, Array], Array]
    gather: Callable[[Array, Array], Row]
    matters: Callable[[Array], bool]
    nearest: Callable[..., tuple[Array, Array]]
    product: Callable[..., Array]
    total: Callable[..., tuple[Array, ...]]


class Shares(NamedTuple):
    """An array (..., L, P) that has a row for each row of a table."""

    rows: Array


def _is_upright(table: Array) -> bool:
    return bool(np.all(table[..., (0, 4, 8)] == 1.0))


def _numpy_row(row: Array) -> Row:
    return Row(row.__getitem__, upright=_is_upright(row))


def _numpy_gather(table: Array, ids: Array) -> Row:
    return Row(lambda column: np.take(table[:, column], ids), upright=_is_upright(table))


def _numpy_nearest(table: Array, distance: Callable[..., Array], *rays: Array) -> tuple[Array, Array]:
    least: Array = np.float32(FAR)
    which: Array = np.int32(0)
    for k, row in enumerate(table):
        with np.errstate(invalid="ignore", divide="ignore"):  # a ray that misses may give NaN
            found = distance(_numpy_row(row), *rays)
        which = np.where(found < least, np.int32(k), which)
        least = np.minimum(found, least)
    return least, which


def _numpy_product(table: Array, factor: Callable[..., Array], *rays: Array) -> Array:
    product = np.float32(1.0)
    for row in table:
        with np.errstate(invalid="ignore", divide="ignore"):
            product = product * factor(_numpy_row(row), *rays)
    return product


def _numpy_total(table: Array, parts: Callable[..., tuple[Array, ...]], *rays: Array) -> tuple[Array, ...]:
    totals: tuple[Array, ...] | None = None
    for k, row in enumerate(table):
        own = parts(_numpy_row(row), *(ray.rows[k] if isinstance(ray, Shares) else ray for ray in rays))
        totals = own if totals is None else tuple(a + b for a, b in zip(totals, own, strict=True))
    assert totals is not None, "no scene is without a light"
    return totals


NUMPY_OPS = ArrayOps(
    xp=np,
    to_int32=lambda array: array.astype(np.int32),
    to_float32=lambda array: array.astype(np.float32),
    lookup=lambda table, ids: np.take(table, ids),
    gather=_numpy_gather,
    matters=lambda mask: bool(np.any(mask)),
    nearest=_numpy_nearest,
    product=_numpy_product,
    total=_numpy_total,
)
