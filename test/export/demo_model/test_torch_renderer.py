"""The two renderers of the synthetic world, NumPy and PyTorch, see the same."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

from general_scenes import general_scene  # noqa: E402

from metric3d_export.demo_model.rendering import render_steps, torch_renderer  # noqa: E402
from metric3d_export.demo_model.rendering.drawn_views import Frame, draw_views  # noqa: E402
from metric3d_export.demo_model.rendering.torch_renderer import render_views  # noqa: E402
from metric3d_export.demo_model.rendering.torch_world import stack_tables  # noqa: E402
from metric3d_ros.world.description.solids import Scene  # noqa: E402
from metric3d_ros.world.rendering.renderer import View, pinhole_rays, render  # noqa: E402
from metric3d_ros.world.rendering.viewpoint import Pose, look  # noqa: E402
from metric3d_ros.world.scenes import build_scene  # noqa: E402

Seen = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

FIRST_ROOMS = [view for seed in range(40, 48) for view in draw_views(seed, Frame((84, 112)))[:1]]
YARD_POSES = [
    look((0.0, 0.0, 1.5), yaw=0.05, pitch=-0.1),
    look((0.5, -2.0, 0.4), yaw=0.5, pitch=0.3, roll=0.15),
    look((5.0, 1.0, 6.0), yaw=1.0, pitch=-1.1),
]


def draw(scenes: list[Scene], poses: list[Pose], rays: list[np.ndarray], *, compiled: bool = False) -> Seen:
    return render_views(
        scenes,
        torch.from_numpy(np.stack([pose.rotation for pose in poses])),
        torch.from_numpy(np.stack([pose.position for pose in poses])),
        torch.from_numpy(np.stack(rays)),
        compiled=compiled,
    )


def is_steady(scene: Scene, pose: Pose, rays: np.ndarray) -> np.ndarray:
    """Return where (H, W) rays that rounding turns a little see the same colour: not along a joint, nor at grazing."""
    views = [
        render(scene, pose, rays + np.array([moved, moved, 0], np.float32), samples=1).rgb for moved in (-1e-5, 0, 1e-5)
    ]
    return np.ptp(np.stack(views).astype(int), axis=0).max(axis=2) <= 1


def assert_alike(seen: Seen, index: int, view: View, *, on_edges: float, steady: np.ndarray | None = None) -> None:
    """Compare one image; the share `on_edges` of pixels lies along an edge or a joint and may fall to either side.

    Colours are compared where they are `steady`, by default everywhere.
    """
    colour, depth, normal = (tensor[index].numpy() for tensor in seen)
    np.testing.assert_array_equal(np.isinf(depth)[view.sky], True)
    with np.errstate(invalid="ignore"):
        same = view.valid & (np.abs(depth - view.depth_m) < 1e-3 * view.depth_m)
    assert (same | view.sky).mean() > 1 - on_edges
    difference = np.abs(normal - np.nan_to_num(view.normal)).max(axis=2)
    assert np.mean(difference[same | view.sky] > 5e-3) < on_edges
    difference = np.abs(colour * 255 - view.rgb)[(same | view.sky) & (True if steady is None else steady)]
    assert np.mean(difference > 1.0) < 0.005
    assert difference.mean() < 0.4  # one of them is rounded to whole steps


@pytest.mark.parametrize("size_hw", [(45, 61), (84, 112)])
def test_first_rooms_look_alike(size_hw: tuple[int, int]) -> None:
    rays = [pinhole_rays(size_hw, fx=view.focal_px * size_hw[1] / 112) for view in FIRST_ROOMS]
    seen = draw([view.scene for view in FIRST_ROOMS], [view.pose for view in FIRST_ROOMS], rays)
    for index, view in enumerate(FIRST_ROOMS):
        assert_alike(seen, index, render(view.scene, view.pose, rays[index], samples=1), on_edges=0.001)


def test_scenes_of_turned_solids_under_a_sky_look_alike() -> None:
    scenes, rays = [general_scene(seed) for seed in (1, 2, 3)], pinhole_rays((70, 90), fx=70.0, cx=40.0, cy=30.0)
    seen = draw(scenes, YARD_POSES, [rays] * 3)
    for index, (scene, pose) in enumerate(zip(scenes, YARD_POSES, strict=True)):
        steady = is_steady(scene, pose, rays)
        assert steady.mean() > 0.8
        assert_alike(seen, index, render(scene, pose, rays, samples=1), on_edges=0.003, steady=steady)
    assert torch.isinf(seen[1][0]).any()
    assert (seen[2][torch.isinf(seen[1])] == 0).all()


def test_rooms_and_yards_of_different_sizes_go_into_one_batch() -> None:
    rays = pinhole_rays((40, 50), fx=40.0)
    scenes = [general_scene(1, clutter=50), build_scene(40), general_scene(2, clutter=0)]
    poses = [YARD_POSES[0], FIRST_ROOMS[0].pose, YARD_POSES[1]]
    together = draw(scenes, poses, [rays] * 3)
    for index, (scene, pose) in enumerate(zip(scenes, poses, strict=True)):
        alone = draw([scene], [pose], [rays])
        for whole, part in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[index], part[0], atol=1e-4, rtol=1e-4)


def test_a_gpu_that_takes_whole_images_sees_what_a_cpu_sees_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    rays = pinhole_rays((40, 70), fx=50.0)
    scenes = [general_scene(seed) for seed in (1, 2, 3)]
    tiles = draw(scenes, YARD_POSES, [rays] * 3)
    monkeypatch.setattr(torch_renderer, "render_tiles", torch_renderer.render_whole)
    whole = draw(scenes, YARD_POSES, [rays] * 3)
    for a, b in zip(tiles, whole, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-3)


def test_tables_can_be_stacked_once_for_many_views() -> None:
    rays = pinhole_rays((20, 30), fx=25.0)
    tables = stack_tables([general_scene(1)] * 3)
    pose = [torch.from_numpy(np.stack([getattr(p, name) for p in YARD_POSES])) for name in ("rotation", "position")]
    stacked = render_views(tables, *pose, torch.from_numpy(np.stack([rays] * 3)), compiled=False)
    direct = draw([general_scene(1)] * 3, YARD_POSES, [rays] * 3)
    for a, b in zip(stacked, direct, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
def test_compiled_steps_see_the_same_whatever_the_numbers_of_solids(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each step is compiled once; a second compilation would be refused here.
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    monkeypatch.setattr(torch._dynamo.config, "fail_on_recompile_limit_hit", True)
    torch._dynamo.reset()
    assert render_steps.COMPILED is not render_steps.PLAIN
    for clutter in (20, 45, 8):
        rays = pinhole_rays((70, 90), fx=70.0)
        scenes = [general_scene(seed, clutter=clutter) for seed in (1, 2, 3)]
        plain, compiled = (draw(scenes, YARD_POSES, [rays] * 3, compiled=compiled) for compiled in (False, True))
        same = ((plain[1] - compiled[1]).abs() < 1e-3 * plain[1]) | torch.isinf(plain[1]) & torch.isinf(compiled[1])
        assert same.float().mean() > 0.998
        assert ((plain[0] - compiled[0]).abs().amax(-1)[same] < 1 / 255).float().mean() > 0.995
