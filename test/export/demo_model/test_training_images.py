"""The demo model's training images: reproducible, none held out, disguised as photographs."""

import functools

import numpy as np
import pytest
import torch
from training_batches import SMALL, random_batch

from metric3d_export.demo_model import train, training_images
from metric3d_export.demo_model.clutter import paste_clutter
from metric3d_export.demo_model.photography import Randomness, compress, photograph
from metric3d_export.demo_model.recipe import ON_A_CPU, ON_A_GPU, Recipe
from metric3d_export.demo_model.rendering import drawn_views
from metric3d_export.demo_model.rendering.drawn_views import Frame, draw_many, draw_views, prepare_many
from metric3d_export.demo_model.training_images import (
    HELD_OUT_FROM,
    Course,
    SampleStream,
    Stored,
    disguise,
    held_out,
    render_batch,
    render_many,
)
from metric3d_ros.model_contract import MEAN_RGB


def test_training_never_sees_held_out_scenes() -> None:
    assert train.SCENES_PER_SEED * max(train.SEEDS) < HELD_OUT_FROM
    kept, again, other = held_out(SMALL, 2), held_out(SMALL, 2), held_out(SMALL, 2, first=5)
    torch.testing.assert_close(kept.depth, again.depth)
    assert not torch.equal(kept.depth, other.depth)


def test_crops_have_their_principal_point_off_the_middle() -> None:
    views = [view for seed in range(60) for view in draw_views(seed, SMALL)]
    off = np.array([abs(view.centre[0] - 47.5) for view in views])
    assert (off == 0).any()
    assert off.max() > 10
    assert not any(view.centre != (47.5, 31.5) for seed in range(9) for view in draw_views(seed, SMALL, cropped=False))


def test_batches_of_one_seed_are_the_same_and_new_images_come_in_each() -> None:
    courses = (Course(SMALL, 1.0, 3, 1),)
    first, again = (SampleStream(courses, seed=4, capacity=8, workers=0) for _ in range(2))
    batches = [first.batch() for _ in range(4)]
    for batch in batches:
        for ours, theirs in zip(batch, again.batch(), strict=True):
            torch.testing.assert_close(ours, theirs, equal_nan=True)
    assert first.next_scene > 4
    first.close()
    again.close()


def test_views_prepared_for_a_gpu_are_the_images_that_a_cpu_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = Frame((64, 96), (56, 84))
    plainly = functools.partial(training_images.render_views, compiled=False)
    monkeypatch.setattr(training_images, "render_views", plainly)
    monkeypatch.setattr(drawn_views, "TOGETHER", 4)
    prepared = prepare_many(frame, range(40), 6)
    assert [len(views.focal_px) for views in prepared] == [4, 2]
    assert prepared[0].tables.boxes.shape[1] < prepared[1].tables.boxes.shape[1]  # no room for what the others have
    drawn = sorted(draw_many(frame, range(40), 6), key=lambda view: len(view.scene.materials))
    found = [Stored.of(render_batch(views, frame)) for views in prepared]
    depth, valid = (torch.cat([getattr(part, name) for part in found]) for name in ("depth", "valid"))
    monkeypatch.setattr(training_images, "draw_many", lambda *_: drawn)
    expected = render_many(frame, [], 6)
    assert torch.equal(valid, expected.valid)
    same = (depth == expected.depth) | ((depth - expected.depth).abs() < 2e-3 * expected.depth)
    assert same[valid].float().mean() > 0.998


def test_mirrored_images_mirror_the_normals_too() -> None:
    batch = random_batch(count=40)
    seen = disguise(batch, Randomness.of(0))
    kept = seen.normal.isfinite().all(dim=1)  # neither clutter nor blank
    assert 0.3 < float(kept.float().mean()) < 1.0
    mirror = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    kinds = []
    for index in range(40):
        own, there = batch.normal[index], batch.normal[index].flip(-1) * mirror
        error_own = (seen.normal[index] - own)[:, kept[index]].abs().sum()
        error_there = (seen.normal[index] - there)[:, kept[index]].abs().sum()
        if kept[index].any():
            assert min(float(error_own), float(error_there)) < 1e-4
            kinds.append(bool(error_there < error_own))
    assert 5 < sum(kinds) < len(kinds) - 5


def test_padding_keeps_the_mean_colour() -> None:
    seen = disguise(random_batch(), Randomness.of(0))
    torch.testing.assert_close(seen.rgb[:, :, 0, 0], torch.tensor(MEAN_RGB).expand(2, 3))


def test_photographs_are_pictures_and_reproducible() -> None:
    rgb = random_batch(count=8).rgb
    first, again, other = (photograph(rgb, Randomness.of(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 5
    assert first.isfinite().all()
    assert first.min() >= 0
    assert first.max() <= 255


def test_fine_quanta_hardly_change_a_picture_and_coarse_ones_do() -> None:
    picture = torch.rand(1, 3, 30, 44)  # no multiple of a block
    fine = compress(picture, torch.full((1, 1, 1, 1), 1e-3))
    coarse = compress(picture, torch.full((1, 1, 1, 1), 3.0))
    assert fine.shape == picture.shape
    assert (fine - picture).abs().max() < 0.01
    assert (coarse - picture).abs().mean() > 0.05


def test_clutter_stands_before_what_it_hides() -> None:
    batch = random_batch(count=16)
    depth = batch.depth.clone()
    depth[:, :20] = torch.inf  # sky
    for seed in range(6):
        _, seen, normal = paste_clutter(batch.rgb, depth, batch.normal, Randomness.of(seed))
        changed = seen != depth
        assert (seen <= depth).all()
        assert (seen[changed] > 0).all()
        assert torch.equal(changed, normal.isnan().any(dim=1)) or changed.sum() < normal.isnan().any(dim=1).sum()


@pytest.mark.parametrize("recipe", [ON_A_CPU, ON_A_GPU])
def test_training_sees_the_sizes_that_the_demo_and_the_tests_use(recipe: Recipe) -> None:
    assert sum(course.share for course in recipe.courses) == pytest.approx(1.0)
    sizes = {course.frame.seen_hw for course in recipe.courses}
    assert {(252, 336), (168, 280), (240, 320), (480, 640)} <= sizes
    assert all(side % 32 == 0 for course in recipe.courses for side in course.frame.size_hw)
