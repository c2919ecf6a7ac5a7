"""Clutter: small objects that stand or lie on tables, shelves and floors."""

import math
from collections.abc import Callable

from metric3d_ros.world.objects.indoors.furniture import screen, shade
from metric3d_ros.world.objects.materials import basic as bm
from metric3d_ros.world.objects.materials import things as tm
from metric3d_ros.world.objects.placing import Place, Surface

Thing = Callable[[Place, float], None]  # builds an object at a place; the number is the free height


def box(place: Place, free: float) -> None:
    """A carton, a tin or a packet."""
    rng = place.rng
    size = (rng.uniform(0.05, 0.32), rng.uniform(0.05, 0.28), min(rng.uniform(0.03, 0.3), 0.9 * free))
    place.box((0.0, 0.0, size[2] / 2), size, tm.packet(rng))


def books(place: Place, free: float) -> None:
    """A pile of books and papers."""
    rng, z = place.rng, 0.0
    for _ in range(rng.integer(1, 4)):
        tall = rng.uniform(0.008, 0.05)
        if z + tall > free:
            break
        size = (rng.uniform(0.14, 0.32), rng.uniform(0.1, 0.24), tall)
        spot = (rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02), z + tall / 2)
        place.box(spot, size, tm.packet(rng), yaw=rng.uniform(-0.5, 0.5))
        z += tall


def standing_books(place: Place, free: float) -> None:
    """A few books side by side, one leaning."""
    rng = place.rng
    tall = min(rng.uniform(0.17, 0.3), 0.9 * free)
    width = rng.uniform(0.1, 0.35)
    place.box((0.0, 0.0, tall / 2), (width, rng.uniform(0.12, 0.2), tall), tm.books(rng))
    if rng.chance(0.5):
        place.box((width / 2 + 0.05, 0.0, 0.46 * tall), (0.025, 0.16, 0.95 * tall), tm.packet(rng), pitch=0.25)


def row_of_packets(place: Place, free: float) -> None:
    """Tins, files or packets side by side, as one solid with a pattern."""
    _row(place, place.rng.uniform(0.2, 0.6), free)


def _row(place: Place, width: float, free: float) -> None:
    rng = place.rng
    tall, deep = min(rng.uniform(0.1, 0.32), 0.9 * free), rng.uniform(0.08, 0.22)
    material = tm.packets(rng, tall) if rng.chance(0.6) else tm.books(rng)
    place.box((0.0, 0.0, tall / 2), (width, deep, tall), material)


def bottle(place: Place, free: float) -> None:
    """A bottle with a neck."""
    rng = place.rng
    tall, radius = min(rng.uniform(0.15, 0.33), 0.95 * free), rng.uniform(0.025, 0.045)
    body = tm.bottle(rng)
    place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.65 * tall), radius, body)
    place.rod((0.0, 0.0, 0.65 * tall), (0.0, 0.0, tall), radius, body, taper=0.35)


def cup(place: Place, free: float) -> None:
    """A cup, a tin, a jar or a pot."""
    rng = place.rng
    tall, radius = min(rng.uniform(0.07, 0.2), 0.9 * free), rng.uniform(0.03, 0.1)
    place.rod((0.0, 0.0, 0.0), (0.0, 0.0, tall), radius, bm.ceramic(rng), taper=rng.uniform(0.8, 1.3))


def bowl(place: Place, free: float) -> None:
    """A bowl, at times with fruit."""
    rng = place.rng
    radius = rng.uniform(0.08, 0.16)
    place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.45 * radius), 0.5 * radius, bm.ceramic(rng), taper=2.0)
    if rng.chance(0.5):
        for _ in range(rng.integer(1, 3)):
            at = (rng.uniform(-0.5, 0.5) * radius, rng.uniform(-0.5, 0.5) * radius, 0.45 * radius + 0.01)
            place.ball(at, (0.037, 0.037, 0.036), bm.plastic(rng))


def ball(place: Place, free: float) -> None:
    """A ball, a stone or something else that is round."""
    rng = place.rng
    radius = min(rng.uniform(0.03, 0.13), 0.45 * free)
    radii = (radius, radius * rng.uniform(0.7, 1.0), radius * rng.uniform(0.6, 1.0))
    place.ball((0.0, 0.0, radii[2]), radii, tm.anything(rng))


def bag(place: Place, free: float) -> None:
    """A bag, a sack or a rucksack: soft and sagging."""
    rng = place.rng
    radii = (rng.uniform(0.1, 0.25), rng.uniform(0.08, 0.16), min(rng.uniform(0.08, 0.25), 0.48 * free))
    cover = bm.soft(rng)
    place.ball((0.0, 0.0, 0.85 * radii[2]), radii, cover, roll=rng.uniform(-0.4, 0.4))
    if rng.chance(0.5):
        place.ball((0.3 * radii[0], -0.7 * radii[1], 0.5 * radii[2]), (0.1, 0.07, 0.6 * radii[2]), cover)


def cloth_heap(place: Place, free: float) -> None:
    """Clothes or a towel, dropped or folded."""
    rng, cover = place.rng, bm.cloth(place.rng)
    if rng.chance(0.3):
        place.box((0.0, 0.0, 0.04), (0.35, 0.26, 0.08), cover)
        return
    for _ in range(rng.integer(1, 3)):
        radii = (rng.uniform(0.1, 0.3), rng.uniform(0.08, 0.2), rng.uniform(0.03, 0.09))
        at = (rng.uniform(-0.12, 0.12), rng.uniform(-0.1, 0.1), 0.6 * radii[2])
        place.ball(at, radii, cover, yaw=rng.uniform(-1.5, 1.5), roll=rng.uniform(-0.2, 0.2))


def plant(place: Place, free: float) -> None:
    """A pot with leaves on stems, or a bush."""
    rng = place.rng
    size = min(rng.uniform(0.2, 0.5), free)
    pot_radius = 0.28 * size
    place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.35 * size), 0.7 * pot_radius, bm.ceramic(rng), taper=1.35)
    leaves(place.at(0.0, 0.0, 0.35 * size), 0.65 * size, count=rng.integer(2, 7))


def leaves(place: Place, tall: float, *, count: int) -> None:
    """A bush of a few ellipsoids, or long leaves that spread from the origin."""
    rng, green = place.rng, tm.leaves(place.rng)
    if rng.chance(0.4):
        for _ in range(max(1, count // 2)):
            radius = tall * rng.uniform(0.3, 0.5)
            at = (rng.uniform(-0.25, 0.25) * tall, rng.uniform(-0.25, 0.25) * tall, rng.uniform(0.3, 0.65) * tall)
            place.ball(at, (radius, radius, radius * rng.uniform(0.7, 1.1)), green)
        return
    turn = rng.uniform(0.0, 6.0)
    for k in range(count):
        steep = rng.uniform(0.3, 1.3)
        blade = place.at(0.0, 0.0, 0.0, yaw=turn + 2.4 * k, pitch=steep)
        length = tall * rng.uniform(0.6, 1.0)
        blade.ball((0.55 * length, 0.0, 0.0), (0.5 * length, rng.uniform(0.06, 0.2) * length, 0.012), green)


def kettle(place: Place, free: float) -> None:
    """A kettle, a coffee machine or a blender."""
    rng = place.rng
    metal, dark = bm.metal(rng), bm.dark_plastic(rng)
    if rng.chance(0.5):
        place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.2), 0.085, metal, taper=0.75)
        place.ball((0.0, 0.0, 0.2), (0.06, 0.06, 0.035), dark)
        place.box((0.11, 0.0, 0.12), (0.03, 0.03, 0.17), dark)
    else:
        place.box((0.0, 0.06, 0.15), (0.2, 0.12, 0.3), dark)
        place.box((0.0, -0.04, 0.27), (0.2, 0.18, 0.07), dark)
        place.rod((0.0, -0.05, 0.02), (0.0, -0.05, 0.14), 0.06, tm.bottle(rng))


def machine(place: Place, free: float) -> None:
    """A microwave oven, a printer, a radio or a toaster."""
    rng = place.rng
    size = (rng.uniform(0.25, 0.5), rng.uniform(0.2, 0.38), min(rng.uniform(0.15, 0.3), 0.95 * free))
    body = rng.pick([bm.metal(rng), bm.dark_plastic(rng), bm.white_goods(rng)])
    place.box((0.0, 0.0, size[2] / 2), size, body)
    front = (-0.1 * size[0], -size[1] / 2 - 0.003, 0.5 * size[2])
    place.box(front, (0.65 * size[0], 0.008, 0.7 * size[2]), bm.dark_glass(rng))


def laptop(place: Place, free: float) -> None:
    """A laptop, open."""
    rng = place.rng
    body, open_by = rng.pick([bm.metal(rng), bm.dark_plastic(rng)]), rng.uniform(0.1, 0.5)
    place.box((0.0, 0.0, 0.009), (0.34, 0.23, 0.018), body)
    lid = place.at(0.0, 0.115, 0.018, roll=-open_by)
    lid.box((0.0, 0.0, 0.11), (0.34, 0.008, 0.22), body)
    lid.box((0.0, -0.005, 0.11), (0.32, 0.003, 0.2), tm.screen(rng))


def monitor(place: Place, free: float) -> None:
    """A computer's screen, if there is room for one."""
    if free < 0.6:
        machine(place, free)
    else:
        screen(place)


def table_lamp(place: Place, free: float) -> None:
    """A lamp with a shade."""
    rng = place.rng
    tall = min(rng.uniform(0.3, 0.55), 0.9 * free)
    place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.02), 0.08, bm.metal(rng))
    place.rod((0.0, 0.0, 0.0), (0.0, 0.0, 0.75 * tall), 0.012 if rng.chance(0.5) else 0.06, bm.ceramic(rng))
    shade(place.at(0.0, 0.0, 0.75 * tall), rng.uniform(0.22, 0.36) * tall)


def sheet(place: Place, free: float) -> None:
    """Paper, a board to cut on or a tray."""
    rng = place.rng
    for _ in range(rng.integer(1, 3)):
        at = (rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1), rng.uniform(0.002, 0.01))
        place.box(
            at,
            (rng.uniform(0.15, 0.4), rng.uniform(0.1, 0.3), 0.004),
            tm.packet(rng),
            yaw=rng.uniform(-1, 1),
        )


def framed(place: Place, free: float) -> None:
    """A picture that leans back."""
    rng = place.rng
    tall = min(rng.uniform(0.15, 0.5), 0.95 * free)
    size = (tall * rng.uniform(0.6, 1.4), 0.02, tall)
    place.box((0.0, 0.05, tall / 2), size, tm.picture(rng), roll=-rng.uniform(0.05, 0.3))


def basket(place: Place, free: float) -> None:
    """An open crate or basket with things in it: four sides and a bottom."""
    rng = place.rng
    width, depth, tall = rng.uniform(0.25, 0.5), rng.uniform(0.2, 0.4), min(rng.uniform(0.12, 0.35), 0.9 * free)
    material = rng.pick([bm.plastic(rng), bm.cardboard(rng), bm.wood(rng)])
    thick = 0.012
    for side in (-1, 1):
        place.box((side * width / 2, 0.0, tall / 2), (thick, depth, tall), material)
        place.box((0.0, side * depth / 2, tall / 2), (width, thick, tall), material)
    place.box((0.0, 0.0, 0.4 * tall), (width, depth, 0.75 * tall), tm.anything(rng))
    if rng.chance(0.6):
        spot = (rng.uniform(-0.06, 0.06), rng.uniform(-0.05, 0.05), 0.85 * tall)
        place.ball(spot, (0.35 * width, 0.35 * depth, 0.35 * tall), bm.soft(rng))
    if material.colour[0] > 0.1 and rng.chance(0.4):  # flaps
        for side in (-1, 1):
            flap = place.at(side * width / 2, 0.0, tall, pitch=side * rng.uniform(0.2, 1.2))
            flap.box((side * 0.07, 0.0, 0.0), (0.15, depth, 0.006), material)


def wire(place: Place, free: float) -> None:
    """A cable or a hose that lies about in bends."""
    rng, material = place.rng, tm.cable(place.rng)
    x, y, heading, radius = 0.0, 0.0, rng.uniform(0, 6.3), rng.uniform(0.004, 0.014)
    for _ in range(rng.integer(3, 6)):
        step = rng.uniform(0.08, 0.3)
        heading += rng.uniform(-1.2, 1.2)
        x1, y1 = x + step * math.cos(heading), y + step * math.sin(heading)
        place.rod((x, y, radius), (x1, y1, radius), radius, material)
        x, y = x1, y1


def figure(place: Place, free: float) -> None:
    """A toy, a vase, a statue: a few solids on top of one another."""
    rng, z = place.rng, 0.0
    for _ in range(rng.integer(2, 3)):
        tall = rng.uniform(0.04, 0.13)
        if z + tall > free:
            return
        radius = rng.uniform(0.02, 0.07)
        style, material = rng.integer(0, 2), tm.anything(rng)
        if style == 0:
            place.ball((0.0, 0.0, z + tall / 2), (radius, radius, tall / 2), material)
        elif style == 1:
            place.rod((0.0, 0.0, z), (0.0, 0.0, z + tall), radius, material, taper=rng.uniform(0.3, 1.4))
        else:
            place.box((0.0, 0.0, z + tall / 2), (2 * radius, 1.5 * radius, tall), material)
        z += 0.95 * tall


def carton(place: Place, free: float) -> None:
    """A carton or a crate, at times with another on top."""
    rng, z = place.rng, 0.0
    for _ in range(rng.integer(1, 3)):
        size = (rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.45), rng.uniform(0.15, 0.45))
        if z + size[2] > max(free, 0.3):
            return
        material = rng.pick(
            [
                bm.cardboard(rng),
                bm.cardboard(rng),
                bm.plastic(rng),
                bm.crate(rng),
            ]
        )
        shift = (rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04), z + size[2] / 2)
        place.box(shift, size, material, yaw=rng.uniform(-0.3, 0.3))
        z += size[2]
        if rng.chance(0.4) and material.gloss > 0.1:
            place.box((shift[0], shift[1], z), (size[0] + 0.03, size[1] + 0.03, 0.03), bm.plastic(rng))
            z += 0.015


ON_TOP: dict[str, list[Thing]] = {
    "any": [
        box, box, box, row_of_packets, books, standing_books, standing_books, bottle, cup, cup, bowl, ball, bag,
        cloth_heap, plant, machine, table_lamp, sheet, framed, basket, figure, figure, wire,
    ],
    "kitchen": [
        bottle, bottle, cup, cup, cup, cup, bowl, bowl, box, box, box, kettle, machine, sheet, basket, plant,
        figure, cloth_heap, row_of_packets,
    ],
    "office": [
        row_of_packets, row_of_packets, books, books, sheet, sheet, cup, cup, box, box, laptop, monitor, plant,
        table_lamp, wire, figure, standing_books, standing_books,
    ],
    "bath": [
        bottle, bottle, cup, cup, cloth_heap, box, figure,
    ],
    "store": [
        row_of_packets, row_of_packets, box, box, box, box, basket, carton, bottle, cup, cup, machine, bag,
        wire, figure, ball, cloth_heap,
    ],
}  # fmt: skip


def fill_surface(surface: Surface, theme: str, *, things: int) -> None:
    """Put up to `things` objects on a surface without overlap."""
    place, rng = surface.place, surface.place.rng
    taken: list[tuple[float, float]] = []
    if surface.width > 0.5 and surface.depth < 0.5 and rng.chance(0.65):  # a shelf with a row of something
        row = rng.uniform(0.25, 0.85) * surface.width
        middle = rng.pick([-1, 1]) * rng.uniform(0.0, 1.0) * (surface.width - row) / 2
        _row(place.at(middle, 0.0, yaw=rng.triangular(-0.06, 0.06, 0.0)), row, surface.height)
        taken = [(middle + (k - 2) * row / 5, 0.0) for k in range(5)]
    for _ in range(things):
        margin_x, margin_y = min(0.12, 0.4 * surface.width), min(0.1, 0.4 * surface.depth)
        x = rng.uniform(-surface.width / 2 + margin_x, surface.width / 2 - margin_x)
        y = rng.uniform(-surface.depth / 2 + margin_y, surface.depth / 2 - margin_y)
        if any(math.hypot(x - a, y - b) < 0.2 for a, b in taken):
            continue
        taken.append((x, y))
        solids = len(place.stage.solids)
        rng.pick(ON_TOP[theme])(place.at(x, y, yaw=rng.triangular(-1.2, 1.2, 0.0)), surface.height)
        if len(place.stage.solids) > place.stage.max_solids:
            del place.stage.solids[solids:]
            return
