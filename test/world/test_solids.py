"""Solids turned any way, skies and several lights: hits worked out by hand, and what culling must not change."""

import itertools
import math

import numpy as np
import pytest
from general_scenes import SKY, general_scene

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.world.description.materials import COLUMNS, Material, plain
from metric3d_ros.world.description.solids import FLOOR, Scene, SceneDraft, along, turn
from metric3d_ros.world.rendering.array_ops import NUMPY_OPS, Vectors
from metric3d_ros.world.rendering.ray_casting import tables_of, trace
from metric3d_ros.world.rendering.renderer import View, pinhole_rays, render
from metric3d_ros.world.rendering.viewpoint import look

GREY = plain((0.5, 0.5, 0.5))


def hall(*, faces: list[Material] | None = None) -> SceneDraft:
    draft = SceneDraft((-20.0, -20.0, 0.0), (20.0, 20.0, 20.0), faces or [GREY] * 6)
    draft.add_lamp((0.0, 0.0, 19.0), (50.0, 50.0, 50.0))
    return draft


def cast(draft: SceneDraft, start: tuple[float, float, float], way: tuple[float, float, float]) -> tuple[float, list]:
    """Return the distance and the normal (world frame) of what one ray hits."""
    origin, direction = (Vectors(*(np.float32([c]) for c in v)) for v in (start, way))
    hit = trace(NUMPY_OPS, tables_of(draft.finish(0, "test")), origin, direction)
    return float(hit.distance[0]), [float(c[0]) for c in hit.normal]


def test_turned_box_is_hit_on_its_edge_side() -> None:
    # A cube of 2 m turned by 45 degrees: its corner points at the camera, 5 - sqrt(2) m away.
    draft = hall()
    draft.add_box((5.0, 0.0, 1.0), (2.0, 2.0, 2.0), GREY, turn(math.pi / 4))
    distance, normal = cast(draft, (0.0, 0.1, 1.0), (1.0, 0.0, 0.0))
    assert distance == pytest.approx(5 - math.sqrt(2) + 0.1, rel=1e-5)
    assert normal == pytest.approx([-math.sqrt(0.5), math.sqrt(0.5), 0.0], abs=1e-6)


def test_sloping_board_is_hit_where_its_plane_is() -> None:
    # A ramp that rises by 30 degrees towards x, seen from above: z = tan 30 * x + what half its thickness adds.
    draft = hall()
    draft.add_box((0.0, 0.0, 2.0), (4.0, 2.0, 0.2), GREY, turn(pitch=math.radians(30)))
    for x in (-1.0, 0.0, 1.2):
        distance, normal = cast(draft, (x, 0.3, 10.0), (0.0, 0.0, -1.0))
        top = 2.0 + math.tan(math.radians(30)) * x + 0.1 / math.cos(math.radians(30))
        assert 10.0 - distance == pytest.approx(top, rel=1e-5)
        assert normal == pytest.approx([-0.5, 0.0, math.cos(math.radians(30))], abs=1e-6)


def test_ellipsoid_is_hit_on_its_long_and_on_its_short_axis() -> None:
    draft = hall()
    draft.add_ellipsoid((5.0, 0.0, 2.0), (2.0, 0.5, 1.0), GREY, turn(math.pi / 2))  # the long axis along y
    assert cast(draft, (0.0, 0.0, 2.0), (1.0, 0.0, 0.0))[0] == pytest.approx(4.5, rel=1e-6)
    assert cast(draft, (5.0, -10.0, 2.0), (0.0, 1.0, 0.0))[0] == pytest.approx(8.0, rel=1e-6)
    assert cast(draft, (5.0, 0.0, 10.0), (0.0, 0.0, -2.0))[0] == pytest.approx(3.5, rel=1e-6)
    assert cast(draft, (0.0, 2.1, 2.0), (1.0, 0.0, 0.0))[0] == pytest.approx(20.0, rel=1e-6)
    # At y = 1 the half width is 0.5 sqrt(1 - 1/4); the normal is that of x^2 / 0.25 + y^2 / 4 = 1.
    distance, normal = cast(draft, (0.0, 1.0, 2.0), (1.0, 0.0, 0.0))
    half_width = 0.5 * math.sqrt(0.75)
    assert distance == pytest.approx(5 - half_width, rel=1e-6)
    gradient = np.array([-half_width / 0.25, 1 / 4.0, 0.0])
    assert normal == pytest.approx(list(gradient / np.linalg.norm(gradient)), abs=1e-5)


def test_lying_cylinder_is_hit_on_its_side_and_on_its_end() -> None:
    draft = hall()
    draft.add_cylinder((3.0, -1.0, 1.0), (3.0, 1.0, 1.0), 0.5, GREY)
    distance, normal = cast(draft, (0.0, 0.7, 1.3), (1.0, 0.0, 0.0))
    assert distance == pytest.approx(3 - 0.4, rel=1e-6)  # 0.3, 0.4, 0.5
    assert normal == pytest.approx([-0.8, 0.0, 0.6], abs=1e-5)
    distance, normal = cast(draft, (3.2, -5.0, 1.1), (0.0, 1.0, 0.0))
    assert distance == pytest.approx(4.0, rel=1e-6)
    assert normal == pytest.approx([0.0, -1.0, 0.0], abs=1e-6)
    assert cast(draft, (0.0, 1.1, 1.0), (1.0, 0.0, 0.0))[0] == pytest.approx(20.0)  # past its end


@pytest.mark.parametrize("taper", [0.0, 0.25, 2.0])
def test_cone_narrows_as_its_taper_says(taper: float) -> None:
    draft = hall()
    draft.add_cylinder((5.0, 0.0, 0.0), (5.0, 0.0, 4.0), 1.0, GREY, taper)
    for z in (0.5, 2.0, 3.5):
        radius = 1 + (taper - 1) * z / 4
        distance, normal = cast(draft, (0.0, 0.0, z), (1.0, 0.0, 0.0))
        assert distance == pytest.approx(5 - radius, rel=1e-5)
        slope = (1 - taper) / 4
        assert normal == pytest.approx([-1 / math.hypot(1, slope), 0.0, slope / math.hypot(1, slope)], abs=1e-5)


def test_cone_is_hit_from_above_by_rays_steeper_than_its_side() -> None:
    draft = hall()
    draft.add_cylinder((5.0, 0.0, 0.0), (5.0, 0.0, 1.0), 1.0, GREY, 0.0)  # 45 degrees
    distance, normal = cast(draft, (5.5, 0.0, 10.0), (0.0, 0.0, -1.0))
    assert distance == pytest.approx(9.5, rel=1e-5)
    assert normal == pytest.approx([math.sqrt(0.5), 0.0, math.sqrt(0.5)], abs=1e-5)
    # Wider at the top: from above the lid is hit, from below the side, by rays that go straight up.
    draft = hall()
    draft.add_cylinder((5.0, 0.0, 2.0), (5.0, 0.0, 3.0), 1.0, GREY, 2.0)
    assert cast(draft, (6.5, 0.0, 10.0), (0.0, 0.0, -1.0))[0] == pytest.approx(7.0, rel=1e-5)
    assert cast(draft, (6.5, 0.0, 0.5), (0.0, 0.0, 1.0))[0] == pytest.approx(2.0, rel=1e-5)
    assert cast(draft, (7.1, 0.0, 0.5), (0.0, 0.0, 1.0))[0] == pytest.approx(19.5, rel=1e-5)


def test_ray_along_the_axis_of_a_cylinder_hits_its_end() -> None:
    draft = hall()
    draft.add_cylinder((5.0, 0.0, 0.0), (5.0, 0.0, 1.0), 0.5, GREY)
    for x, seen in ((5.0, 9.0), (5.3, 9.0), (5.6, 10.0)):
        assert cast(draft, (x, 0.1, 10.0), (0.0, 0.0, -1.0))[0] == pytest.approx(seen, rel=1e-5)


def test_thin_pole_far_away_is_still_hit_in_its_middle_only() -> None:
    draft = hall()
    draft.add_cylinder((15.0, 0.0, 0.0), (15.0, 0.0, 5.0), 0.02, GREY)
    for y, seen in ((0.0, True), (0.015, True), (-0.015, True), (0.025, False), (-0.025, False)):
        assert (cast(draft, (-15.0, y, 1.0), (1.0, 0.0, 0.0))[0] < 31) == seen


def test_normals_of_the_general_scene_are_those_of_its_depth() -> None:
    rays = pinhole_rays((120, 160), fx=130.0)
    view = render(general_scene(1), look((0.0, 0.0, 1.5), yaw=0.05, pitch=-0.15), rays, samples=1)
    points = rays * np.where(view.valid, view.depth_m, 1.0)[..., None]
    across, down = points[:-1, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, :-1]
    normal = np.cross(down, across)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    agreement = (normal * view.normal[:-1, :-1]).sum(axis=2)[view.valid[:-1, :-1]]
    assert np.mean(agreement > 0.98) > 0.85  # all but the pixels on an edge, of many small solids
    np.testing.assert_allclose(np.linalg.norm(view.normal[view.valid], axis=1), 1.0, atol=1e-4)
    assert ((view.normal * rays).sum(axis=2)[view.valid] <= 1e-4).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_culling_changes_neither_depth_nor_colour(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, rays = general_scene(seed), pinhole_rays((100, 130), fx=110.0)
    pose = look((0.5, -0.5, 1.4), yaw=0.1 * seed, pitch=-0.2, roll=0.1)
    view = render(scene, pose, rays, samples=1)
    for name in ("in_frustum", "may_shade", "in_box"):
        monkeypatch.setattr(
            f"metric3d_ros.world.rendering.renderer.{name}", lambda *_: np.ones(len(scene.materials) - 6, bool)
        )
    everything = render(scene, pose, rays, samples=1)
    np.testing.assert_array_equal(view.depth_m, everything.depth_m)
    assert np.abs(view.rgb.astype(int) - everything.rgb).max() <= 1


def test_sky_has_no_depth_no_normal_and_is_not_valid() -> None:
    draft = hall(faces=[SKY] * 4 + [GREY, SKY])
    rays = pinhole_rays((60, 80), fx=60.0)
    view = render(draft.finish(0, "yard"), look((0.0, 0.0, 1.5), yaw=0.3), rays)
    assert view.sky[:28].all()
    assert np.isposinf(view.depth_m[view.sky]).all()
    assert np.isnan(view.normal[view.sky]).all()
    assert not view.valid[view.sky].any()
    assert view.valid[~view.sky].all()
    assert np.isfinite(view.depth_m[-1]).all()
    assert view.rgb[0, :, 2].mean() > view.rgb[0, :, 0].mean() + 20  # blue above


def brightness(view: View) -> float:
    return float(view.rgb.mean())


def lit_floor(draft: SceneDraft) -> View:
    """Look straight down on the floor at x = 5."""
    pose = look((5.0, 0.0, 1.5), yaw=0.0, pitch=-math.pi / 2 + 1e-3)
    return render(draft.finish(0, "test"), pose, pinhole_rays((4, 4), fx=200.0))


def sunny() -> SceneDraft:
    draft = SceneDraft((-50.0, -50.0, 0.0), (50.0, 50.0, 30.0), [SKY] * 4 + [GREY, SKY])
    draft.add_sun((1.0, 0.0, 1.0), (2.0, 2.0, 2.0))
    draft.above = draft.below = (0.1, 0.1, 0.1)
    return draft


def test_sun_shines_along_one_direction_and_walls_shade_it() -> None:
    open_floor = lit_floor(sunny())
    shaded = sunny()
    shaded.add_box_between((15.0, -2.0, 8.0), (15.1, 2.0, 12.0), GREY)  # 10 m up at 10 m distance
    aside = sunny()
    aside.add_box_between((15.0, -2.0, 11.0), (15.1, 2.0, 15.0), GREY)
    assert brightness(lit_floor(aside)) == brightness(open_floor)
    assert brightness(lit_floor(shaded)) < 0.6 * brightness(open_floor)


def test_sun_comes_through_a_window_and_not_through_the_wall_beside_it() -> None:
    def wall(window: bool) -> SceneDraft:
        draft = sunny()
        pieces = [(-4.0, -1.0), (1.0, 4.0)] if window else [(-4.0, 4.0)]
        for low, high in pieces:
            draft.add_box_between((8.0, low, 0.0), (8.15, high, 6.0), GREY)
        return draft

    assert brightness(lit_floor(wall(window=True))) == pytest.approx(brightness(lit_floor(sunny())), rel=0.02)
    assert brightness(lit_floor(wall(window=False))) < 0.6 * brightness(lit_floor(sunny()))


def test_lamps_add_up() -> None:
    def lamps(count: int) -> SceneDraft:
        draft = SceneDraft((-20.0, -20.0, 0.0), (20.0, 20.0, 20.0), [GREY] * 6)
        draft.above = draft.below = (0.02, 0.02, 0.02)
        for k in range(count):
            draft.add_lamp((5.0 + k, 1.0, 3.0), (0.4, 0.4, 0.4))
        return draft

    one, two = (brightness(lit_floor(lamps(count))) for count in (1, 2))
    assert two > 1.15 * one


def test_inside_a_room_less_light_of_the_sky_arrives() -> None:
    dim = sunny()
    dim.inside = ((4.0, -1.0, -0.1), (6.0, 1.0, 3.0), 0.2)
    assert brightness(lit_floor(dim)) < brightness(lit_floor(sunny()))


def test_pieces_of_one_wall_share_its_pattern_and_show_no_seam() -> None:
    bricks = Material(colour=(0.5, 0.2, 0.1), cell_u=0.24, cell_v=0.08, row_shift=0.5, joint=0.012, variation=0.5)

    def seen(cuts: list[float]) -> View:
        draft = hall()
        for low, high in itertools.pairwise(cuts):
            draft.add_box_between((4.0, low, 0.0), (4.3, high, 4.0), bricks, texture_origin=(4.0, -3.0, 0.0))
        pose = look((1.0, 0.0, 1.5), yaw=0.0)
        return render(draft.finish(0, "test"), pose, pinhole_rays((48, 64), fx=60.0), samples=1)

    whole, pieces = seen([-3.0, 3.0]), seen([-3.0, -0.53, 0.11, 3.0])
    difference = np.abs(whole.rgb.astype(int) - pieces.rgb).max(axis=2)
    assert np.mean(difference > 1) < 0.01


def test_second_colour_covers_about_its_share_near_and_far() -> None:
    def mean(cover: float, distance: float) -> float:
        spots = Material(
            colour=(0.0, 0.0, 0.0),
            second_colour=(1.0, 1.0, 1.0),
            fractal=1.0,
            fractal_size=(0.3, 0.3, 0.3),
            fractal_cover=cover,
            fractal_edge=0.1,
        )
        draft = SceneDraft((-50.0, -50.0, 0.0), (50.0, 50.0, 50.0), [GREY] * 6)
        draft.add_box_between((distance, -50.0, 0.0), (distance + 1, 50.0, 50.0), spots)
        draft.add_sun((-1.0, 0.0, 0.2), (0.0, 0.0, 0.0))
        draft.above = draft.below = (0.5, 0.5, 0.5)
        view = render(
            draft.finish(0, "test"), look((0.0, 0.0, 20.0), yaw=0.0), pinhole_rays((90, 90), fx=60.0), samples=1
        )
        linear = -np.log(1 - np.clip(np.square(view.rgb / 255.0), 0, 0.999)) / 0.5
        return float(linear.mean())

    for cover in (0.25, 0.5, 0.75):
        assert mean(cover, 4.0) == pytest.approx(cover, abs=0.12)
        assert mean(cover, 45.0) == pytest.approx(mean(cover, 4.0), abs=0.12)  # fades to its mean, and does not vanish
    assert mean(0.25, 4.0) < mean(0.5, 4.0) < mean(0.75, 4.0)


def test_same_draft_same_picture() -> None:
    rays, pose = pinhole_rays((40, 56), fx=50.0), look((0.0, 0.0, 1.5), yaw=0.0, pitch=-0.1)
    first, second = (render(general_scene(5), pose, rays, noise_seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.depth_m, second.depth_m)


def test_bounds_hold_every_point_of_a_solid() -> None:
    scene = general_scene(4)
    rays = pinhole_rays((90, 120), fx=90.0)
    pose = look((0.0, 0.0, 1.5), yaw=0.0, pitch=-0.1)
    world = (rays.reshape(-1, 3) @ pose.rotation.T).T
    hit = trace(NUMPY_OPS, tables_of(scene), Vectors(*pose.position[:, None]), Vectors(*world))
    points = pose.position[:, None] + hit.distance * world
    on_solid = hit.surface >= 6
    bounds = scene.bounds()[hit.surface[on_solid] - 6]
    assert on_solid.sum() > 1000
    assert (bounds[:, :3] - 1e-4 <= points[:, on_solid].T).all()
    assert (bounds[:, 3:] + 1e-4 >= points[:, on_solid].T).all()


def test_rotations_are_right_handed_and_named_as_they_turn() -> None:
    for rotation in (turn(0.3, -0.4, 0.5), along((1.0, 2.0, -0.5)), along((0.0, 0.0, -2.0))):
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(turn(yaw=0.2)[0], [math.cos(0.2), math.sin(0.2), 0], atol=1e-6)
    np.testing.assert_allclose(turn(pitch=0.2)[0], [math.cos(0.2), 0, math.sin(0.2)], atol=1e-6)
    np.testing.assert_allclose(turn(roll=0.2)[1], [0, math.cos(0.2), math.sin(0.2)], atol=1e-6)
    np.testing.assert_allclose(along((0.0, 3.0, 4.0))[2], [0.0, 0.6, 0.8], atol=1e-6)


def test_solids_that_have_no_volume_are_refused() -> None:
    draft = hall()
    with pytest.raises(ConfigurationError, match="expected all of them above 0"):
        draft.add_box((0.0, 0.0, 0.0), (1.0, 0.0, 1.0), GREY)
    with pytest.raises(ConfigurationError, match="two points that are apart"):
        draft.add_cylinder((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0.5, GREY)
    with pytest.raises(ConfigurationError, match="0 or more"):
        draft.add_cylinder((1.0, 1.0, 1.0), (1.0, 1.0, 2.0), 0.5, GREY, -1.0)
    with pytest.raises(ConfigurationError, match="expected 1 or more, and 6"):
        SceneDraft((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), [GREY] * 6).finish(0, "dark")


def test_tables_follow_the_order_of_the_materials() -> None:
    draft = hall()
    colours = [(0.1, 0.2, 0.3), (0.2, 0.3, 0.4), (0.3, 0.4, 0.5)]
    draft.add_cylinder((5.0, 0.0, 0.0), (5.0, 0.0, 2.0), 0.5, plain(colours[2]))
    draft.add_box((5.0, 5.0, 1.0), (1.0, 1.0, 1.0), plain(colours[0]))
    draft.add_ellipsoid((5.0, -5.0, 1.0), 0.5, plain(colours[1]))
    scene: Scene = draft.finish(0, "test")
    assert scene.materials.shape == (9, COLUMNS)
    np.testing.assert_allclose(scene.materials[6:, 4:7], colours)
    hit = trace(
        NUMPY_OPS,
        tables_of(scene),
        Vectors(*(np.zeros(4, np.float32), np.zeros(4, np.float32), np.ones(4, np.float32))),
        Vectors(np.float32([1, 1, 1, 0.01]), np.float32([1, -1, 0, 0]), np.float32([0, 0, 0, -1])),
    )
    assert list(hit.surface) == [6, 7, 8, FLOOR]
