"""Kinds of rooms: their sizes, their furniture, their materials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.objects.indoors import fittings as b
from metric3d_ros.world.objects.indoors import furniture as f
from metric3d_ros.world.objects.indoors import kitchens_and_bathrooms as kb
from metric3d_ros.world.objects.indoors import seats_and_beds as sb
from metric3d_ros.world.objects.placing import Piece

Make = Callable[[Rng], Piece]


@dataclass(frozen=True)
class Theme:
    """What a kind of room contains.

    Attributes:
        width, depth, height: ranges of its size, metres.
        at_wall, free: pieces with their back to a wall, and pieces in the middle; the first of each comes first.
        clutter: the list of things on its surfaces, see `clutter.ON_TOP`.
        litter: things on the floor, lowest and highest number.
        surfaces: which floor and walls, see `room_materials.floor` and `room_materials.wall`.
        kind: the scene's kind.
    """

    width: tuple[float, float]
    depth: tuple[float, float]
    height: tuple[float, float]
    at_wall: Sequence[Make]
    free: Sequence[Make]
    clutter: str = "any"
    litter: tuple[int, int] = (2, 8)
    surfaces: str = "living"
    kind: str = "room"


def _armchair(rng: Rng) -> Piece:
    return sb.sofa(rng, seats=1)


def _kitchen_run(rng: Rng) -> Piece:
    return kb.kitchen_run(rng, rng.uniform(1.2, 3.4))


def _stairs(rng: Rng) -> Piece:
    return b.stairs(rng, rise=rng.uniform(1.0, 2.6))


def _low_cupboard(rng: Rng) -> Piece:
    return f.cupboard(rng, height=rng.uniform(0.7, 1.1))


def _high_cupboard(rng: Rng) -> Piece:
    return f.cupboard(rng, height=rng.uniform(1.8, 2.2))


def _long_table(rng: Rng) -> Piece:
    return f.table(rng, width=rng.uniform(1.4, 2.4), depth=rng.uniform(0.6, 1.0))


def _workbench(rng: Rng) -> Piece:
    return f.table(rng, width=rng.uniform(1.2, 2.2), depth=0.6, height=rng.uniform(0.8, 0.92))


THEMES: dict[str, Theme] = {
    "living": Theme(
        (2.9, 5.2), (3.2, 6.5), (2.35, 2.9),
        (sb.sofa, f.television, f.books_shelf, f.cupboard, f.shelf, _armchair, f.desk, f.floor_lamp, _low_cupboard),
        (f.low_table, _armchair, f.table, f.floor_lamp, sb.sofa),
    ),
    "bedroom": Theme(
        (2.6, 4.5), (3.0, 5.5), (2.3, 2.8),
        (sb.bed, _high_cupboard, _low_cupboard, f.desk, f.shelf, f.books_shelf, f.floor_lamp, sb.chair, f.cupboard),
        (sb.chair, sb.stool, sb.bed), litter=(3, 10),
    ),
    "kitchen": Theme(
        (2.2, 4.5), (2.8, 6.0), (2.35, 2.8),
        (_kitchen_run, kb.fridge, _kitchen_run, kb.fridge, f.shelf, f.cupboard, sb.chair),
        (f.table, sb.stool, sb.chair),
        clutter="kitchen", litter=(1, 6), surfaces="kitchen",
    ),
    "bathroom": Theme(
        (1.6, 3.0), (2.0, 3.8), (2.3, 2.7),
        (kb.basin, kb.toilet, kb.tub, kb.shower, kb.toilet, kb.fridge, f.shelf, f.cupboard), (sb.stool,),
        clutter="bath", litter=(1, 5), surfaces="bath",
    ),
    "office": Theme(
        (2.6, 6.0), (3.2, 8.0), (2.5, 3.2),
        (f.desk, f.desk, f.shelf, f.books_shelf, f.cupboard, f.desk, sb.chair), (f.desk, sb.office_chair, _long_table),
        clutter="office", litter=(1, 6), surfaces="office",
    ),
    "classroom": Theme(
        (5.5, 9.0), (6.0, 11.0), (2.7, 3.6),
        (f.cupboard, f.books_shelf, f.desk, f.shelf), (_long_table, f.table, f.table, _long_table),
        clutter="office", litter=(1, 5), surfaces="office", kind="hall",
    ),
    "shop": Theme(
        (4.0, 9.0), (5.0, 12.0), (2.6, 3.8),
        (f.shelf, f.shelf, f.books_shelf, f.shelf, f.cupboard), (f.shelf, f.books_shelf, f.table, f.shelf),
        clutter="store", litter=(0, 6), surfaces="office", kind="hall",
    ),
    "cellar": Theme(
        (2.2, 5.0), (2.8, 7.0), (2.0, 2.6),
        (f.shelf, _workbench, kb.fridge, f.cupboard, f.shelf, kb.fridge), (_workbench, sb.chair, f.table, sb.stool),
        clutter="store", litter=(5, 14), surfaces="store",
    ),
    "workshop": Theme(
        (3.5, 8.0), (5.0, 10.0), (2.4, 4.0),
        (f.shelf, _workbench, _workbench, f.shelf, f.cupboard, kb.fridge), (_workbench, sb.stool, f.table),
        clutter="store", litter=(5, 14), surfaces="store", kind="hall",
    ),
    "dining": Theme(
        (3.0, 7.0), (3.5, 8.0), (2.4, 3.4),
        (f.cupboard, f.books_shelf, sb.sofa, f.floor_lamp), (f.table, f.table, f.table, _long_table), clutter="kitchen",
    ),
    "corridor": Theme(
        (1.2, 2.6), (5.0, 14.0), (2.3, 3.0),
        (f.shelf, sb.chair, _low_cupboard, f.cupboard, _stairs, f.books_shelf), (sb.stool,),
        litter=(0, 6), surfaces="office", kind="corridor",
    ),
    "stairwell": Theme(
        (2.4, 5.0), (4.0, 7.0), (2.6, 3.4), (_stairs, _stairs, f.cupboard, sb.chair), (_stairs, sb.stool),
        litter=(1, 6),
    ),
}  # fmt: skip

FREQUENCY = (
    ["living"] * 5 + ["bedroom"] * 5 + ["kitchen"] * 5 + ["bathroom"] * 3 + ["office"] * 4 + ["classroom"] * 2
    + ["shop"] * 2 + ["cellar"] * 3 + ["workshop"] * 2 + ["dining"] * 3 + ["corridor"] * 3 + ["stairwell"] * 1
)  # fmt: skip
"""The themes, as often as rooms have them."""
