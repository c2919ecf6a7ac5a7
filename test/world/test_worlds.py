"""Furnished rooms, streets and yards: what every seed must give, in metres, and where cameras stand."""

import math
from collections import Counter

import numpy as np
import pytest

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.world.description.materials import COLUMNS, SKY
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import ENCLOSURE_FACES, SOLID_COLUMNS, Scene, SceneDraft, turn
from metric3d_ros.world.objects import people
from metric3d_ros.world.objects.indoors import furniture, kitchens_and_bathrooms, seats_and_beds
from metric3d_ros.world.objects.materials import basic
from metric3d_ros.world.objects.outdoors import vehicles
from metric3d_ros.world.objects.outdoors.street_things import house, lamp_post
from metric3d_ros.world.objects.placing import Footprint, Lineup, Piece, Place, Stage, room_walls, stand_at_wall, turned
from metric3d_ros.world.objects.plants import tree
from metric3d_ros.world.places import plain_rooms
from metric3d_ros.world.places.rooms import MAX_SOLIDS, MIN_SOLIDS, draw_room
from metric3d_ros.world.places.staging import STICKS_OUT_M, fill
from metric3d_ros.world.places.streets import draw_street
from metric3d_ros.world.places.yards import draw_yard
from metric3d_ros.world.rendering.renderer import pinhole_rays, render
from metric3d_ros.world.rendering.sparse_ray_casting import clearance, first_hits
from metric3d_ros.world.scenes import KINDS, STAGED, build_scene, draw_world, stage_scene
from metric3d_ros.world.views import (
    CLEARANCE_M,
    FIELD_OF_VIEW_DEG,
    HEIGHT_M,
    MIN_DISTANCE_M,
    PITCH_DEG,
    ROLL_DEG,
    draw_training_views,
)

GENERATORS = {"room": draw_room, "street": draw_street, "yard": draw_yard}
SUNK_M = 40.0  # hills, houses and banks reach into the ground by up to this


def built(piece: Piece, seed: int = 5) -> Scene:
    """The piece alone on a plane, its origin at the world's."""
    stage = Stage(Rng(seed), 200)
    assert stage.build(piece, Place(stage))
    draft = SceneDraft((-30, -30, -30), (30, 30, 30), [stage.solids[0].material] * 6)
    fill(draft, stage.solids)
    draft.add_lamp((0, 0, 20), (1, 1, 1))
    return draft.finish(seed, "room")


def extent(scene: Scene) -> np.ndarray:
    """Width, depth and height of everything in a scene, from the ground."""
    bounds = scene.bounds()
    low, high = bounds[:, :3].min(axis=0), bounds[:, 3:].max(axis=0)
    return np.array([high[0] - low[0], high[1] - low[1], high[2]])


@pytest.mark.parametrize("name", GENERATORS)
def test_every_seed_gives_a_scene_within_limits(name: str) -> None:
    for seed in range(120):
        scene = GENERATORS[name](seed).scene
        assert MIN_SOLIDS <= scene.solid_count <= MAX_SOLIDS
        assert scene.materials.shape[1] == COLUMNS
        assert scene.boxes.shape[1] == scene.ellipsoids.shape[1] == scene.cylinders.shape[1] == SOLID_COLUMNS
        for table in (scene.boxes, scene.ellipsoids, scene.cylinders, scene.materials, scene.lights):
            assert np.isfinite(table).all()
        assert 1 <= len(scene.lights) <= 3
        colours = scene.materials[:, 4:10]
        assert colours.min() >= 0
        assert colours.max() <= 1.05
        bounds = scene.bounds()
        assert (bounds[:, :2] >= scene.enclosure[:2] - STICKS_OUT_M - 1e-4).all()
        assert (bounds[:, 3:] <= scene.enclosure[3:] + STICKS_OUT_M + 1e-4).all()
        assert (bounds[:, 2] >= scene.enclosure[2] - SUNK_M).all()


@pytest.mark.parametrize("name", GENERATORS)
def test_same_seed_same_scene(name: str) -> None:
    first, second, other = (GENERATORS[name](seed).scene for seed in (77, 77, 78))
    for field in ("enclosure", "boxes", "ellipsoids", "cylinders", "materials", "lights", "surroundings"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
    assert first.materials.shape != other.materials.shape or (first.materials != other.materials).any()


def test_kinds_and_their_shares() -> None:
    kinds = {world: Counter(build_scene(seed, world).kind for seed in range(200)) for world in KINDS}
    for world, counter in kinds.items():
        assert set(counter) == set(KINDS[world])
    assert kinds["furnished"]["room"] > 120
    assert 20 < kinds["street"]["yard"] < 70


def test_plain_rooms_are_those_of_old() -> None:
    old, new = plain_rooms.draw_plain_room(7), build_scene(7)
    np.testing.assert_array_equal(old.boxes, new.boxes)
    np.testing.assert_array_equal(old.materials, new.materials)


def test_outdoors_has_a_sky_without_depth_and_things_more_than_a_hundred_metres_away() -> None:
    far = 0.0
    for seed in range(12):
        staged = draw_street(seed)
        assert (staged.scene.materials[[0, 1, 2, 3, 5], SKY] == 1).all()
        views = draw_training_views(seed, size_hw=(40, 120), mix={"street": 1.0}, count=1)
        for pose in views.poses:
            view = render(views.scene, pose, pinhole_rays((40, 120), fx=views.focal_px), samples=1)
            assert not np.isfinite(view.depth_m[view.sky]).any()
            if view.valid.any():
                far = max(far, float(view.depth_m[view.valid].max()))
    assert 100 < far < 320


@pytest.mark.parametrize(
    ("make", "width", "depth", "height"),
    [
        (seats_and_beds.chair, (0.36, 0.60), (0.38, 0.80), (0.74, 1.10)),
        (furniture.table, (0.68, 1.95), (0.55, 1.35), (0.72, 0.79)),
        (seats_and_beds.bed, (0.9, 2.1), (1.9, 2.3), (0.5, 1.35)),
        (seats_and_beds.sofa, (1.2, 3.0), (0.75, 1.15), (0.70, 1.05)),
        (lambda rng: kitchens_and_bathrooms.kitchen_run(rng, 2.4), (2.3, 2.5), (0.55, 0.75), (0.86, 2.35)),
        (kitchens_and_bathrooms.toilet, (0.3, 0.5), (0.6, 0.8), (0.75, 0.95)),
        (kitchens_and_bathrooms.tub, (1.5, 2.0), (0.65, 0.95), (0.5, 2.1)),
        (people.person, (0.3, 1.3), (0.2, 1.1), (1.45, 1.98)),
        (lambda rng: vehicles.car(rng, detailed=True), (3.55, 4.95), (1.6, 1.95), (1.38, 1.75)),
        (lambda rng: vehicles.car(rng, detailed=False), (3.55, 4.85), (1.6, 1.95), (1.38, 1.75)),
        (lambda rng: vehicles.van(rng, detailed=True), (4.5, 13.2), (1.9, 2.6), (1.85, 3.9)),
        (lambda rng: vehicles.bicycle(rng, ridden=False), (1.6, 1.9), (0.4, 0.7), (0.95, 1.15)),
        (lamp_post, (0.1, 0.6), (0.1, 3.0), (3.9, 9.5)),
        (lambda rng: tree(rng, height=8.0, crowns=5), (1.5, 8.0), (1.5, 8.0), (5.0, 11.0)),
        (lambda rng: house(rng, width=10.0, storeys=2, detail=0, detached=False), (9.9, 11), (8, 14), (5.2, 13.5)),
    ],
)
def test_things_have_the_sizes_of_things(make, width, depth, height) -> None:
    for seed in range(40):
        size = extent(built(make(Rng(seed)), seed))
        for got, (low, high) in zip(size, (width, depth, height), strict=True):
            assert low <= got <= high, (seed, size)


def test_seats_worktops_and_tables_are_where_hands_expect_them() -> None:
    def surfaces(piece: Piece, seed: int) -> list[float]:
        stage = Stage(Rng(seed), 200)
        stage.build(piece, Place(stage))
        return [surface.place.origin[2] for surface in stage.surfaces]

    for seed in range(30):
        assert 0.72 <= surfaces(furniture.table(Rng(seed)), seed)[0] <= 0.78
        assert 0.43 <= surfaces(seats_and_beds.chair(Rng(seed)), seed)[0] <= 0.48
        assert 0.86 <= surfaces(kitchens_and_bathrooms.kitchen_run(Rng(seed), 2.0), seed)[0] <= 0.92
        assert 0.8 <= surfaces(kitchens_and_bathrooms.basin(Rng(seed)), seed)[0] <= 0.88


def test_turns_agree_with_those_of_solids() -> None:
    own, theirs = np.array(turned(yaw=0.4, pitch=-0.3, roll=1.1)), turn(0.4, -0.3, 1.1)
    np.testing.assert_allclose(own.T, theirs, atol=1e-6)


def test_placed_solids_equal_those_of_a_draft() -> None:
    stage = Stage(Rng(1), 10)
    place = Place(stage).at(1.0, -2.0, 0.5, yaw=0.7)
    material = basic.wood(Rng(2))
    place.box((0.2, 0.3, 0.4), (1.0, 2.0, 3.0), material, pitch=0.2, roll=-0.4)
    place.ball((0.0, 1.0, 0.0), (0.3, 0.4, 0.5), material)
    place.rod((0.0, 0.0, 0.0), (0.5, 0.2, 1.0), 0.2, material, taper=0.6)
    ours, theirs = (SceneDraft((-9, -9, -9), (9, 9, 9), [material] * 6) for _ in range(2))
    fill(ours, stage.solids)
    theirs.add_box(place.point(0.2, 0.3, 0.4), (1.0, 2.0, 3.0), material, turn(0.0, 0.2, -0.4) @ turn(0.7))
    theirs.add_ellipsoid(place.point(0.0, 1.0, 0.0), (0.3, 0.4, 0.5), material, turn(0.7))
    theirs.add_cylinder(place.point(0.0, 0.0, 0.0), place.point(0.5, 0.2, 1.0), 0.2, material, 0.6)
    for draft in (ours, theirs):
        draft.add_lamp((0, 0, 1), (1, 1, 1))
    a, b = ours.finish(0, "room"), theirs.finish(0, "room")
    for field in ("boxes", "ellipsoids", "cylinders"):
        np.testing.assert_allclose(getattr(a, field), getattr(b, field), atol=1e-5)


def test_a_piece_at_a_wall_has_its_back_to_it_and_the_next_one_keeps_off() -> None:
    for seed in range(20):
        stage = Stage(Rng(seed), 500, floor=(0.0, 0.0, 4.0, 3.0))
        place = Place(stage)
        pieces = [Piece(1.0, 0.4, lambda p: p.between((-0.5, -0.2, 0), (0.5, 0.2, 1), basic.wood(p.rng)))] * 6
        for piece in pieces:
            stand_at_wall(place, piece, room_walls(4.0, 3.0))
        assert len(stage.taken) == len(stage.solids) >= 3
        for spot in stage.taken:
            x0, y0, x1, y1 = spot.bounds()
            assert min(x0, y0, 4.0 - x1, 3.0 - y1) == pytest.approx(0.025, abs=0.02)
        for index, spot in enumerate(stage.taken):
            assert not any(spot.overlaps(other, 0.0) for other in stage.taken[:index])


def test_turned_rectangles_overlap_where_they_do() -> None:
    square = Footprint(0.0, 0.0, 1.0, 1.0, 0.0)
    assert square.overlaps(Footprint(2.3, 0.0, 1.0, 1.0, math.pi / 4), 0.0)  # its corner reaches 1.41 m
    assert not square.overlaps(Footprint(2.5, 0.0, 1.0, 1.0, math.pi / 4), 0.0)
    assert square.overlaps(Footprint(2.5, 0.0, 1.0, 1.0, math.pi / 4), 0.2)
    assert not square.overlaps(Footprint(1.9, 1.9, 1.0, 1.0, math.pi / 4), 0.0)  # corner to flank


def test_what_has_no_room_is_left_out_whole() -> None:
    stage, lineup = Stage(Rng(1), 12), Lineup()
    for rank in (3.0, 1.0, 2.0):
        lineup.add(rank, seats_and_beds.chair(Rng(3)), Place(stage))
    lineup.build(stage)
    one = Stage(Rng(1), 100)
    one.build(seats_and_beds.chair(Rng(3)), Place(one))
    assert len(stage.solids) == len(one.solids) <= 12
    assert len(stage.surfaces) == 1


def test_sight_agrees_with_the_renderer() -> None:
    compared = 0
    for seed, world in ((3, "furnished"), (4, "street"), (5, "furnished"), (9, "street")):
        views = draw_training_views(seed, size_hw=(30, 40), mix={world: 1.0}, count=1)
        for pose in views.poses:
            rays = pinhole_rays((30, 40), fx=views.focal_px)
            view = render(views.scene, pose, rays, samples=1)
            distance, row = first_hits(views.scene, pose.position, rays.reshape(-1, 3) @ pose.rotation.T)
            sky = (row < ENCLOSURE_FACES) & (views.scene.materials[np.minimum(row, 5), SKY] > 0)
            np.testing.assert_array_equal(sky.reshape(30, 40), view.sky)
            expected, got = view.depth_m.reshape(-1)[~sky], distance[~sky]
            assert np.mean(np.abs(expected - got) < 1e-3 * expected + 1e-3) > 0.995  # all but grazed edges
            compared += 1
    assert compared == 4


def test_clearance_is_the_distance_to_the_nearest_solid_and_negative_inside() -> None:
    scene = built(Piece(1, 1, lambda p: p.box((0, 0, 1), (1, 2, 2), basic.wood(p.rng), yaw=math.pi / 2)))
    assert clearance(scene, np.float32([1.5, 0, 1])) == pytest.approx(0.5, abs=1e-4)
    assert clearance(scene, np.float32([0.9, 0, 1])) == pytest.approx(-0.1, abs=1e-4)
    ball = built(Piece(1, 1, lambda p: p.ball((0, 0, 1), (0.5, 0.5, 0.5), basic.wood(p.rng))))
    assert clearance(ball, np.float32([0, 1.5, 1])) == pytest.approx(1.0, abs=1e-4)
    assert clearance(ball, np.float32([0, 0.1, 1])) < 0
    rod = built(Piece(1, 1, lambda p: p.rod((0, 0, 0), (0, 0, 2), 0.2, basic.wood(p.rng), taper=2.0)))
    assert clearance(rod, np.float32([1, 0, 1])) == pytest.approx(0.6, abs=1e-4)


@pytest.mark.parametrize("world", STAGED)
def test_cameras_stand_clear_of_solids_and_see_something(world: str) -> None:
    heights, pitches = [], []
    views_found = 0
    for seed in range(60):
        views = draw_training_views(seed, size_hw=(120, 160), mix={world: 1.0})
        field = 2 * math.degrees(math.atan(80 / views.focal_px))
        assert FIELD_OF_VIEW_DEG[0] - 1e-6 <= field <= FIELD_OF_VIEW_DEG[1] + 1e-6
        for pose in views.poses:
            views_found += 1
            assert clearance(views.scene, pose.position) >= CLEARANCE_M
            forward, right = pose.rotation[:, 2], pose.rotation[:, 0]
            pitch = math.degrees(math.asin(float(forward[2])))
            assert PITCH_DEG[0] - 0.01 <= pitch <= PITCH_DEG[1] + 0.01
            roll = math.degrees(math.asin(abs(float(right[2])) / math.cos(math.radians(pitch))))
            assert roll <= ROLL_DEG + 0.01
            rays = pinhole_rays((9, 12), fx=views.focal_px * 12 / 160).reshape(-1, 3)
            distance, _ = first_hits(views.scene, pose.position, rays @ pose.rotation.T)
            assert distance.reshape(9, 12)[3:6, 4:8].min() > 0.8 * MIN_DISTANCE_M
            pitches.append(pitch)
            heights.append(float(pose.position[2]))
    assert views_found > 150
    assert -16 < np.median(pitches) < 0
    if world == "furnished":
        assert HEIGHT_M[0] <= min(heights)
        assert max(heights) <= HEIGHT_M[1]
        assert 1.2 < np.median(heights) < 1.6


def test_training_views_are_reproducible_and_mix_the_worlds() -> None:
    first, second = (draw_training_views(31, size_hw=(252, 336)) for _ in range(2))
    assert first.world == second.world
    assert first.focal_px == second.focal_px
    for one, other in zip(first.poses, second.poses, strict=True):
        np.testing.assert_array_equal(one.position, other.position)
        np.testing.assert_array_equal(one.rotation, other.rotation)
    counts = Counter(draw_world(seed) for seed in range(2000))
    assert counts["plain"] / 2000 == pytest.approx(0.20, abs=0.04)
    assert counts["furnished"] / 2000 == pytest.approx(0.45, abs=0.04)
    assert counts["street"] / 2000 == pytest.approx(0.35, abs=0.04)
    assert {draw_world(seed, {"plain": 0.0, "street": 2.0}) for seed in range(50)} == {"street"}


def test_training_views_take_a_focal_length_and_a_number() -> None:
    views = draw_training_views(8, size_hw=(60, 100), mix={"plain": 1.0}, count=2, focal_px=90.0)
    assert views.focal_px == 90.0
    assert len(views.poses) <= 2
    assert draw_training_views(8, size_hw=(60, 100), mix={"furnished": 1.0}, count=1).poses


@pytest.mark.parametrize(
    "call",
    [
        lambda: build_scene(1, "moon"),
        lambda: stage_scene(1, "plain"),
        lambda: draw_world(1, {"moon": 1.0}),
        lambda: draw_world(1, {"plain": 0.0}),
        lambda: draw_world(1, {"plain": 2.0, "street": -1.0}),
    ],
)
def test_worlds_that_do_not_exist_are_refused(call) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        call()
