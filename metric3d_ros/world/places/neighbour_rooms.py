"""Furniture in the rooms behind the open doors of a furnished room."""

from metric3d_ros.world.objects.indoors import furniture, seats_and_beds
from metric3d_ros.world.objects.placing import Footprint, Place, room_walls
from metric3d_ros.world.places.shell import Shell


def furnish_neighbours(place: Place, shell: Shell) -> None:
    """Put a few things into the rooms behind open doors."""
    rng = place.rng
    if shell.outdoors:
        return
    for side, space in enumerate(shell.behind):
        if space < 1.0 or (shell.slope_low and side == 0) or (shell.slope_high and side == 2):
            continue
        wall = room_walls(shell.width, shell.depth)[side]
        for _ in range(rng.integer(1, 3)):
            piece = rng.pick(
                [furniture.table, furniture.cupboard, furniture.shelf, seats_and_beds.chair, furniture.books_shelf]
            )(rng)
            if piece.depth > space - shell.thickness - 0.15 or piece.width > wall.length - 0.2:
                continue
            # With its back to the far wall.
            out = -(space - piece.depth / 2 - 0.03)
            half = piece.width / 2 + 0.05
            x, y, yaw = wall.facing(rng.uniform(half, wall.length - half), out)
            solids = len(place.stage.solids)
            floor, place.stage.floor = place.stage.floor, None
            if place.stage.claim(Footprint(x, y, piece.width / 2, piece.depth / 2, yaw), gap=0.02):
                place.stage.build(piece, place.at(x, y, yaw=yaw))
            place.stage.floor = floor
            if len(place.stage.solids) > solids + 40:
                break
