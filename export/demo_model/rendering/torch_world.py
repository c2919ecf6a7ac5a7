"""The synthetic world on PyTorch: the operations that its renderer needs, and scenes stacked to a batch of tables."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metric3d_ros.world.description.materials import COLUMNS
from metric3d_ros.world.description.solids import (
    CENTRE,
    HALF_SIZE,
    LIGHT_COLUMNS,
    LIGHT_CONSTANT,
    LIGHT_IS_LAMP,
    LIGHT_SOFTNESS,
    TAPER,
    Scene,
)
from metric3d_ros.world.rendering.array_ops import ArrayOps, Row, Shares, Vectors
from metric3d_ros.world.rendering.ray_casting import BOX_KIND, KIND, SURFACE, TRACED_COLUMNS, Tables, tables_of

NOWHERE = -1000.0
FEWEST = 2  # rows of a table, at least: the compiler takes sizes of 0 and 1 for constants
ROWS = 128  # of all solids together and of materials: a multiple of this, which is compiled once
LIGHTS = 4  # the same for lights
ROW_BITS = 9  # of the number of a solid within its table


def _expanded(rays: Sequence[Any]) -> list[Any]:
    """Return rays (..., P) as (..., 1, P), to go with an axis of solids; `Shares` have that axis already."""
    return [
        ray.rows
        if isinstance(ray, Shares)
        else Vectors(*(c.unsqueeze(-2) for c in ray))
        if isinstance(ray, Vectors)
        else ray.unsqueeze(-2)
        for ray in rays
    ]


def _all_rows(table: Tensor) -> Row:
    return Row(lambda column: table[..., column, None])


def _nearest(table: Tensor, distance: Callable[..., Tensor], *rays: Any) -> tuple[Tensor, Tensor]:
    found = distance(_all_rows(table), *_expanded(rays))
    # The row in the lowest bits of the (positive) distance: a minimum is much faster than its place. Two surfaces
    # within 0.05 mm per metre of distance may be taken for one another.
    numbers = torch.arange(table.shape[-2], dtype=torch.int32, device=table.device)[:, None]
    packed = (found.view(torch.int32) & -(1 << ROW_BITS)) | numbers
    return found.amin(-2), packed.amin(-2) & ((1 << ROW_BITS) - 1)


TORCH_OPS = ArrayOps(
    xp=torch,
    to_int32=lambda tensor: tensor.to(torch.int32),
    to_float32=lambda tensor: tensor.to(torch.float32),
    lookup=lambda table, ids: torch.gather(table, -1, ids.long()),
    gather=lambda table, ids: Row(lambda column: torch.gather(table[..., column], -1, ids.long())),
    matters=lambda mask: True,
    nearest=_nearest,
    product=lambda table, factor, *rays: factor(_all_rows(table), *_expanded(rays)).prod(-2),
    total=lambda table, parts, *rays: tuple(part.sum(-2) for part in parts(_all_rows(table), *_expanded(rays))),
)


def lengths(vectors: Tensor) -> Tensor:
    """Return the lengths (N, ...) of vectors (N, 3, ...)."""
    x, y, z = vectors.unbind(1)
    return x.square().addcmul_(y, y).addcmul_(z, z).sqrt_()  # faster than a norm over a stride


def filler() -> np.ndarray:
    """Return the row of an invisible solid, for padding."""
    row = np.zeros(TRACED_COLUMNS, np.float32)
    row[[0, 4, 8, TAPER]] = 1.0
    row[CENTRE : CENTRE + 3], row[HALF_SIZE : HALF_SIZE + 3], row[SURFACE], row[KIND] = NOWHERE, 1e-3, -1.0, BOX_KIND
    return row


def all_solids(*tables: Tensor) -> Tensor:
    """Return tables (N, ..., columns) one after the other, padded to a multiple of `ROWS`."""
    count = sum(table.shape[1] for table in tables)
    padding = torch.from_numpy(filler()).expand(len(tables[0]), -count % ROWS, -1)
    return torch.cat([*tables, padding], 1)


def stack_tables(scenes: Sequence[Scene], *, device: torch.device | str = "cpu") -> Tables:
    """Return the scenes' tables with a leading batch dimension, padded with solids and lights that do nothing."""
    tables = [tables_of(scene) for scene in scenes]
    no_light = np.zeros(LIGHT_COLUMNS, np.float32)
    no_light[[LIGHT_IS_LAMP, LIGHT_CONSTANT, LIGHT_SOFTNESS]] = 1.0

    def padded(field: str, row: np.ndarray, *, multiple: int = FEWEST) -> np.ndarray:
        rows = [getattr(table, field) for table in tables]
        whole = np.tile(row, (len(rows), -(-max(1, *(len(own) for own in rows)) // multiple) * multiple, 1))
        for padded_rows, own in zip(whole, rows, strict=True):
            padded_rows[: len(own)] = own
        return whole

    boxes, ellipsoids, cylinders = (padded(field, filler()) for field in ("boxes", "ellipsoids", "cylinders"))
    enclosures = np.stack([table.solids[:1] for table in tables])
    solids = all_solids(*(torch.from_numpy(part) for part in (enclosures, boxes, ellipsoids, cylinders)))
    stacked = Tables(
        enclosure=np.stack([table.enclosure for table in tables]),
        boxes=boxes,
        ellipsoids=ellipsoids,
        cylinders=cylinders,
        solids=solids.numpy(),
        materials=padded("materials", np.ones(COLUMNS, np.float32), multiple=ROWS),
        lights=padded("lights", no_light, multiple=LIGHTS),
        surroundings=np.stack([table.surroundings for table in tables]),
    )
    return Tables(*(torch.from_numpy(array).to(device, non_blocking=True) for array in stacked))
