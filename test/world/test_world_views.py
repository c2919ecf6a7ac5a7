"""The synthetic world's renderer: known depth, known normals, every camera, always the same picture."""

import itertools

import numpy as np
import pytest

from metric3d_ros.errors import CameraError, DataError
from metric3d_ros.world.description.materials import plain
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import FLOOR, Scene, SceneDraft, box_bounds
from metric3d_ros.world.places.plain_rooms import MAX_BOXES, MAX_CYLINDERS, MAX_SPHERES
from metric3d_ros.world.rendering.array_ops import NUMPY_OPS, Vectors
from metric3d_ros.world.rendering.ray_casting import tables_of, trace
from metric3d_ros.world.rendering.renderer import pinhole_rays, render
from metric3d_ros.world.rendering.viewpoint import camera_flight, draw_poses, is_clear, look
from metric3d_ros.world.scenes import build_scene


def bare_room(
    *,
    size: tuple[float, float, float] = (6.0, 5.0, 2.5),
    boxes: list[tuple[float, ...]] | None = None,
    spheres: list[tuple[float, ...]] | None = None,
    cylinders: list[tuple[float, ...]] | None = None,
) -> Scene:
    """A room with only the given solids: boxes by their corners, spheres, upright cylinders (x, y, radius, z, z)."""
    grey = plain((0.6, 0.6, 0.6))
    draft = SceneDraft((0.0, 0.0, 0.0), size, [grey] * 6)
    for x0, y0, z0, x1, y1, z1 in boxes or []:
        draft.add_box_between((x0, y0, z0), (x1, y1, z1), grey)
    for x, y, z, radius in spheres or []:
        draft.add_ellipsoid((x, y, z), radius, grey)
    for x, y, radius, bottom, top in cylinders or []:
        draft.add_cylinder((x, y, bottom), (x, y, top), radius, grey)
    draft.add_lamp((size[0] / 2, size[1] / 2, size[2] - 0.3), (2.0, 2.0, 2.0))
    return draft.finish(0, "room")


def test_depth_of_a_wall_is_its_distance_along_the_axis_and_not_along_the_ray() -> None:
    scene = bare_room()
    view = render(scene, look((2.0, 2.5, 1.25), yaw=0.0), pinhole_rays((30, 40), fx=100.0))
    np.testing.assert_allclose(view.depth_m, 4.0, rtol=1e-5)
    np.testing.assert_allclose(view.normal, np.broadcast_to([0, 0, -1], view.normal.shape), atol=1e-5)
    assert view.rgb.dtype == np.uint8
    assert view.valid.all()


def test_floor_depth_follows_from_the_camera_height() -> None:
    # A level camera 1 m above the floor sees it at depth fy / (row - cy).
    rays = pinhole_rays((60, 80), fx=40.0, fy=50.0, cx=31.0, cy=20.0)
    view = render(bare_room(), look((1.0, 2.5, 1.0), yaw=0.0), rays)
    for row in (40, 59):
        assert view.depth_m[row, 31] == pytest.approx(50.0 / (row - 20.0), rel=1e-5)
        np.testing.assert_allclose(view.normal[row, 31], [0, -1, 0], atol=1e-6)


def test_sphere_and_cylinder_are_hit_where_geometry_says() -> None:
    scene = bare_room(spheres=[(4.0, 2.5, 1.0, 0.5)], cylinders=[(2.0, 4.0, 0.25, 0.0, 0.9)])
    rays = np.float32([[[0, 0, 1], [0, 0.2, 1]]])
    ball = render(scene, look((1.0, 2.5, 1.0), yaw=0.0), rays)
    assert ball.depth_m[0, 0] == pytest.approx(2.5, rel=1e-5)
    np.testing.assert_allclose(ball.normal[0, 0], [0, 0, -1], atol=1e-5)
    # Looking along +y at the drum's side, then steeply down on its lid 0.6 m below.
    side = render(scene, look((2.0, 1.0, 0.5), yaw=np.pi / 2), rays[:, :1])
    assert side.depth_m[0, 0] == pytest.approx(2.75, rel=1e-5)
    lid = render(scene, look((2.0, 4.0, 1.5), yaw=0.0, pitch=-np.pi / 2 + 1e-4), rays[:, :1])
    assert lid.depth_m[0, 0] == pytest.approx(0.6, rel=1e-4)
    np.testing.assert_allclose(lid.normal[0, 0], [0, 0, -1], atol=1e-3)


def test_normals_are_unit_and_face_the_camera() -> None:
    scene = build_scene(11)
    rays = pinhole_rays((60, 90), fx=70.0)
    pose = draw_poses(scene, Rng(1), tan_half_width=0.64, tan_half_height=0.43, candidates=20)[0]
    view = render(scene, pose, rays, samples=1)
    np.testing.assert_allclose(np.linalg.norm(view.normal, axis=2), 1.0, atol=1e-4)
    assert ((view.normal * rays).sum(axis=2) <= 1e-4).all()


def test_normals_agree_with_those_of_the_depth_map() -> None:
    scene = bare_room(boxes=[(3.0, 1.0, 0.0, 4.0, 2.0, 0.8)])
    rays = pinhole_rays((90, 120), fx=100.0)
    view = render(scene, look((0.8, 2.2, 1.2), yaw=-0.2, pitch=-0.2, roll=0.05), rays, samples=1)
    points = rays * view.depth_m[..., None]
    across, down = points[:-1, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, :-1]
    normal = np.cross(down, across)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    agreement = (normal * view.normal[:-1, :-1]).sum(axis=2)
    assert np.mean(agreement > 0.999) > 0.95  # all but the pixels on an edge


def test_same_seed_same_picture_and_other_seed_another() -> None:
    rays, pose = pinhole_rays((24, 32), fx=30.0), look((1.5, 1.5, 1.0), yaw=0.6, pitch=-0.1)
    first, second = (render(build_scene(21), pose, rays, noise_seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.depth_m, second.depth_m)
    assert (render(build_scene(22), pose, rays, noise_seed=4).rgb != first.rgb).any()
    assert (render(build_scene(21), pose, rays, noise_seed=5).rgb != first.rgb).any()


def test_scene_of_a_seed_never_changes() -> None:
    # The shipped model was trained on these scenes: a change here is a change of its world.
    scene = build_scene(7)
    bounds = box_bounds(scene.boxes)
    light = np.concatenate([scene.lights[0, :3], scene.lights[0, 4:7], scene.surroundings[[0, 1, 2, 6]]])
    sums = [float(np.abs(table).sum()) for table in (scene.size, bounds, scene.materials[:, :18], light)]
    assert scene.kind == "hall"
    assert sums == pytest.approx([19.40541, 308.70624, 1378.58325, 23.78957], rel=1e-5)


def test_culling_of_solids_changes_nothing() -> None:
    scene = build_scene(13)
    pose = draw_poses(scene, Rng(2), tan_half_width=0.6, tan_half_height=0.45, candidates=20)[0]
    rays = pinhole_rays((100, 130), fx=110.0)
    view = render(scene, pose, rays, samples=1)
    world = (rays.reshape(-1, 3) @ pose.rotation.T).T
    hit = trace(NUMPY_OPS, tables_of(scene), Vectors(*pose.position[:, None]), Vectors(*world))
    np.testing.assert_allclose(view.depth_m.reshape(-1), hit.distance, rtol=1e-4)


def test_rays_that_are_missing_or_backward_are_invalid() -> None:
    rays = pinhole_rays((20, 30), fx=25.0)
    rays[0, 0] = np.nan
    rays[0, 1] = [0.1, 0.0, -0.5]
    view = render(bare_room(), look((2.0, 2.0, 1.0), yaw=0.3), rays)
    assert not view.valid[0, :2].any()
    assert view.valid.sum() == 20 * 30 - 2
    assert np.isnan(view.depth_m[0, :2]).all()
    assert np.isnan(view.normal[0, :2]).all()
    assert (view.rgb[0, :2] == 0).all()
    assert np.isfinite(view.depth_m[view.valid]).all()


def test_unit_rays_and_z_one_rays_give_the_same_depth() -> None:
    rays = pinhole_rays((20, 30), fx=25.0)
    unit = rays / np.linalg.norm(rays, axis=2, keepdims=True)
    pose = look((2.0, 2.0, 1.0), yaw=0.3)
    np.testing.assert_allclose(
        render(bare_room(), pose, rays).depth_m, render(bare_room(), pose, unit).depth_m, rtol=1e-5
    )


def test_fisheye_ray_table_sees_the_same_room() -> None:
    # An equidistant fisheye: the pixel at angle t from the axis lies f t from the centre.
    height, width, focal = 60, 80, 40.0
    x, y = np.meshgrid(np.arange(width) - 39.5, np.arange(height) - 29.5)
    radius = np.hypot(x, y)
    angle = radius / focal
    rays = np.stack([np.sin(angle) * x / radius, np.sin(angle) * y / radius, np.cos(angle)], axis=2)
    view = render(bare_room(), look((2.0, 2.5, 1.25), yaw=0.0), rays.astype(np.float32))
    assert view.valid.all()
    centre = view.depth_m[25:35, 35:45]
    np.testing.assert_allclose(centre, 4.0, rtol=1e-4)
    assert view.depth_m.max() <= 4.0 + 1e-3


def test_supersampling_smooths_edges_and_leaves_the_truth_alone() -> None:
    scene, pose = bare_room(boxes=[(4.0, 1.5, 0.0, 4.5, 3.0, 1.5)]), look((1.0, 2.3, 1.2), yaw=0.05, pitch=-0.1)
    rays = pinhole_rays((60, 80), fx=60.0)
    one, four = (render(scene, pose, rays, samples=samples) for samples in (1, 2))
    np.testing.assert_allclose(one.depth_m, four.depth_m, rtol=1e-5)
    edges = [np.abs(np.diff(view.rgb.astype(float), axis=1)).max() for view in (one, four)]
    assert edges[1] <= edges[0]


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (0, 4, 3)])
def test_ray_table_of_the_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CameraError, match=r"expected \(H, W, 3\)"):
        render(bare_room(), look((1, 1, 1), yaw=0), np.zeros(shape, np.float32))


def test_camera_without_size_or_focal_length_is_refused() -> None:
    with pytest.raises(CameraError, match="must be positive"):
        pinhole_rays((10, 10), fx=0.0)


def test_ten_thousand_seeds_give_usable_scenes() -> None:
    for seed in range(10_000):
        scene = build_scene(seed)
        assert (scene.size > [1.6, 1.6, 2.3]).all()
        assert (scene.size < [13, 13, 4]).all()
        assert len(scene.boxes) <= MAX_BOXES
        assert len(scene.ellipsoids) <= MAX_SPHERES
        assert len(scene.cylinders) <= MAX_CYLINDERS
        assert len(scene.materials) == 6 + len(scene.boxes) + len(scene.ellipsoids) + len(scene.cylinders)
        bounds = box_bounds(scene.boxes)
        assert (bounds[:, :3] < bounds[:, 3:]).all()
        assert (bounds[:, :3] >= -1e-5).all()
        assert (bounds[:, 3:] <= scene.size + 1e-4).all()
        assert np.isfinite(scene.materials).all()
        assert (scene.lights[0, :3] > 0).all()
        assert (scene.lights[0, :3] < scene.size).all()


def test_accepted_views_are_outside_solids_and_see_the_floor() -> None:
    accepted = 0
    for seed in range(400):
        scene = build_scene(seed)
        for pose in draw_poses(scene, Rng(seed, 5), tan_half_width=0.5, tan_half_height=0.4, candidates=4):
            accepted += 1
            x, y, z = (float(c) for c in pose.position)
            assert is_clear(scene, (x, y, z))
            assert 0.8 <= z <= 1.4
            rays = pinhole_rays((18, 24), fx=24.0, fy=22.5)
            world = (rays.reshape(-1, 3) @ pose.rotation.T).T
            hit = trace(NUMPY_OPS, tables_of(scene), Vectors(*pose.position[:, None]), Vectors(*world))
            assert np.mean(hit.surface == FLOOR) > 0.05
            assert hit.distance.min() > 0.2
    assert accepted > 600


def test_places_in_or_near_solids_are_not_clear() -> None:
    scene = bare_room(
        boxes=[(2.0, 2.0, 0.0, 3.0, 3.0, 0.5), (4.0, 1.0, 0.0, 5.6, 3.0, 0.012)],
        spheres=[(1.0, 4.0, 0.3, 0.3)],
        cylinders=[(1.0, 1.0, 0.2, 0.0, 2.5)],
    )
    assert not is_clear(scene, (2.5, 2.5, 1.0))
    assert not is_clear(scene, (3.2, 2.5, 1.0))
    assert not is_clear(scene, (1.3, 1.0, 1.0))
    assert not is_clear(scene, (1.0, 3.6, 1.0))
    assert not is_clear(scene, (0.1, 2.5, 1.0))
    assert is_clear(scene, (4.5, 2.0, 1.0))  # over the rug


def test_flight_is_smooth_and_clear() -> None:
    flights = 0
    for seed in range(12):
        scene = build_scene(seed)
        try:
            poses = camera_flight(scene, frames=60)
        except DataError:
            continue
        flights += 1
        assert len(poses) == 60
        positions = np.stack([pose.position for pose in poses])
        steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        assert steps.max() < 0.3
        assert steps.sum() > 0.8
        for before, after in itertools.pairwise(poses):
            turn = np.arccos(np.clip((np.trace(before.rotation.T @ after.rotation) - 1) / 2, -1, 1))
            assert np.degrees(turn) < 12
        assert all(is_clear(scene, tuple(float(c) for c in position)) for position in positions)
    assert flights >= 8


def test_flight_without_room_names_the_remedy() -> None:
    crowded = bare_room(size=(1.7, 6.0, 2.5), boxes=[(0.2, 0.2, 0.0, 1.5, 5.8, 1.0)])
    with pytest.raises(DataError, match="use another scene seed"):
        camera_flight(crowded)
