"""Training and held-out images of the synthetic world, with the truth in the network's own terms."""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric3d_export.demo_model.clutter import paste_clutter
from metric3d_export.demo_model.photography import photograph
from metric3d_export.demo_model.rendering.torch_renderer import render_views
from metric3d_ros.model_contract import CANONICAL_FOCAL_PX, MEAN_RGB
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import Scene
from metric3d_ros.world.rendering.renderer import pinhole_rays, render
from metric3d_ros.world.rendering.viewpoint import Pose
from metric3d_ros.world.scenes import FURNISHED, PLAIN, STREET
from metric3d_ros.world.views import draw_focal_px, draw_training_views

MOST_ENLARGED = 2.0  # training sees crops of images that are up to this many times as wide
HELD_OUT_FROM = 1_000_000_000  # seeds from here on are never trained on
VIEWS_PER_SCENE = 2
BLANK_SHARE = 0.03  # images of nothing, by which confidence learns what nothing looks like

EVERYWHERE = ((PLAIN, 0.35), (FURNISHED, 0.38), (STREET, 0.27))
ON_ROADS = ((FURNISHED, 0.15), (STREET, 0.85))

SizeHw = tuple[int, int]


class Drawn(NamedTuple):
    """A view that is not rendered yet."""

    scene: Scene
    pose: Pose
    focal_px: float
    centre: tuple[float, float]  # principal point x, y in pixels of the seen image; off its middle in crops
    seen_hw: SizeHw  # the camera's own size; smaller than the image where it is padded with the mean colour


class Batch(NamedTuple):
    """Images and their truth."""

    rgb: Tensor  # (N, 3, H, W) float32, 0..255
    depth: Tensor  # (N, H, W) float32, metres of the canonical camera; infinite where there is sky, or nothing to see
    normal: Tensor  # (N, 3, H, W) float32, optical frame, NaN where unknown
    valid: Tensor  # (N, H, W) bool, False in the padding


@dataclass(frozen=True)
class Frame:
    """A size at which the network sees images, the size of the camera whose images are padded to it, and the worlds."""

    size_hw: SizeHw
    seen_hw: SizeHw | None = None
    mix: tuple[tuple[str, float], ...] = EVERYWHERE
    """The worlds that it sees, with their shares."""


@dataclass(frozen=True)
class Course:
    """One kind of batch and its share of the steps."""

    frame: Frame
    share: float
    count: int  # images per batch
    fresh: int  # of which rendered anew


def draw_views(seed: int, frame: Frame, *, cropped: bool = True) -> list[Drawn]:
    """Return up to two views of the scene of a seed, all with one random focal length; at times none.

    `cropped` ones are pieces of larger images, as a network sees them that looks at a larger image.
    """
    rng = Rng(seed, 11)
    height, width = frame.seen_hw or frame.size_hw
    enlarged = rng.uniform(1.0, MOST_ENLARGED) if cropped and rng.chance(0.4) else 1.0
    focal_px = enlarged * draw_focal_px(rng, width)
    views = draw_training_views(
        seed, size_hw=(height, width), mix=dict(frame.mix), count=VIEWS_PER_SCENE, focal_px=focal_px
    )
    slack_x, slack_y = (enlarged - 1) * width / 2, (enlarged - 1) * height / 2
    drawn = []
    for pose in views.poses:
        centre = (
            (width - 1) / 2 + rng.uniform(-slack_x, slack_x),
            (height - 1) / 2 + rng.uniform(-slack_y, slack_y),
        )
        drawn.append(Drawn(views.scene, pose, focal_px, centre, (height, width)))
    return drawn


def padded_rays(view: Drawn, size_hw: SizeHw) -> NDArray[np.float32]:
    """Return the camera's rays (H, W, 3) over an image of this size, in whose middle it sees."""
    top, left = ((whole - part) // 2 for whole, part in zip(size_hw, view.seen_hw, strict=True))
    return pinhole_rays(size_hw, fx=view.focal_px, cx=view.centre[0] + left, cy=view.centre[1] + top)


def seen_pixels(view: Drawn, size_hw: SizeHw) -> NDArray[np.bool_]:
    """Return which pixels (H, W) of an image of this size the camera sees; the others are padding."""
    top, left = ((whole - part) // 2 for whole, part in zip(size_hw, view.seen_hw, strict=True))
    seen = np.zeros(size_hw, bool)
    seen[top : top + view.seen_hw[0], left : left + view.seen_hw[1]] = True
    return seen


def render_batch(drawn: Sequence[Drawn], size_hw: SizeHw, device: torch.device | str = "cpu") -> Batch:
    """Render views at one size on a device; where the camera is smaller, the rest is the mean colour and not valid."""

    def stacked(arrays: Iterable[NDArray[Any]]) -> Tensor:
        return torch.from_numpy(np.stack(list(arrays))).to(device, non_blocking=True)

    rgb, depth, normal = render_views(
        [view.scene for view in drawn],
        stacked(view.pose.rotation for view in drawn),
        stacked(view.pose.position for view in drawn),
        stacked(padded_rays(view, size_hw) for view in drawn),
    )
    scale = torch.tensor([CANONICAL_FOCAL_PX / view.focal_px for view in drawn], device=device)
    valid = stacked(seen_pixels(view, size_hw) for view in drawn)
    rgb = torch.where(valid[:, None], rgb.permute(0, 3, 1, 2) * 255, mean_colour(rgb.device))
    return Batch(rgb, depth * scale[:, None, None], normal.permute(0, 3, 1, 2), valid)


def mean_colour(device: torch.device) -> Tensor:
    """Return the colour of padding (3, 1, 1), 0..255."""
    return torch.tensor(MEAN_RGB, device=device)[:, None, None]


class Stored(NamedTuple):
    """Images and their truth, compact."""

    rgb: Tensor  # (N, 3, H, W) uint8
    depth: Tensor  # (N, H, W) float16, metres of the canonical camera, infinite for sky
    normal: Tensor  # (N, 3, H, W) int8, 127 is 1; 0 for sky
    valid: Tensor  # (N, H, W) bool

    @classmethod
    def of(cls, batch: Batch) -> "Stored":
        return cls(
            batch.rgb.round().to(torch.uint8),
            batch.depth.half(),
            (batch.normal.nan_to_num() * 127).round().to(torch.int8),
            batch.valid,
        )

    def opened(self) -> Batch:
        normal = self.normal.float()
        normal = normal / normal.square().sum(1, keepdim=True).sqrt()  # NaN for sky
        return Batch(self.rgb.float(), self.depth.float(), normal, self.valid)


class _Store:
    """The images of one frame that were rendered last, to be shown again."""

    def __init__(self, capacity: int, size_hw: SizeHw, device: torch.device) -> None:
        self.count, self.next = 0, 0
        self.images = Stored(
            *(
                torch.empty((capacity, *channels, *size_hw), dtype=dtype, device=device)
                for channels, dtype in (((3,), torch.uint8), ((), torch.half), ((3,), torch.int8), ((), torch.bool))
            )
        )

    def put(self, new: Stored) -> Tensor:
        """Store images in place of the oldest ones, and return where."""
        capacity, count = len(self.images.rgb), len(new.rgb)
        places = (torch.arange(count) + self.next) % capacity
        index = places.to(self.images.rgb.device)
        for column, images in zip(self.images, new, strict=True):
            column[index] = images
        self.next = (self.next + count) % capacity
        self.count = min(capacity, self.count + count)
        return places

    def take(self, places: Tensor) -> Batch:
        index = places.to(self.images.rgb.device)
        return Stored(*(column[index] for column in self.images)).opened()


class Wanted(NamedTuple):
    """A batch that is to come: its frame and size, and its new images, still being made."""

    frame: Frame
    count: int
    coming: Future[Any]


class SampleStream:
    """Endless random batches: some of each batch's images are new, the others are shown again, photographed anew.

    Worker processes prepare the new images of the batches to come. For a CPU they render them; for a GPU they draw the
    scenes, which the GPU renders. Without workers a thread renders with NumPy, which is slower and needs no compiler.
    The same seed gives the same batches.
    """

    AHEAD = 16

    def __init__(
        self,
        courses: Sequence[Course],
        *,
        seed: int,
        first_scene: int = 0,
        capacity: int = 1500,
        device: torch.device | str = "cpu",
        workers: int = 1,
    ) -> None:
        self.next_scene = first_scene
        self.device = torch.device(device)
        self._courses = tuple(courses)
        self._chooser = random.Random(seed)
        self._generator = torch.Generator(self.device).manual_seed(seed)
        self._capacity = capacity
        self._stores: dict[Frame, _Store] = {}
        self._requested: dict[Frame, int] = {}
        on_cpu = render_compiled if workers else render_many
        self._prepare = on_cpu if self.device.type == "cpu" else draw_many
        self._workers: Executor = (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers else ThreadPoolExecutor(1)
        )
        self._wanted: deque[Wanted] = deque()

    def close(self) -> None:
        """End the workers."""
        self._workers.shutdown(cancel_futures=True)

    def batch(self) -> Batch:
        """Return the next batch."""
        while len(self._wanted) < self.AHEAD:
            self._wanted.append(self._request())
        frame, count, coming = self._wanted.popleft()
        if frame not in self._stores:
            self._stores[frame] = _Store(self._capacity, frame.size_hw, self.device)
        store, made = self._stores[frame], coming.result()
        if self.device.type != "cpu":
            made = Stored.of(render_batch(made, frame.size_hw, self.device))
        newest = store.put(made)
        again = torch.tensor([self._chooser.randrange(store.count) for _ in range(count - len(newest))]).long()
        return disguise(store.take(torch.cat([newest, again])), self._generator)

    def _request(self) -> Wanted:
        course = self._chooser.choices(self._courses, [course.share for course in self._courses])[0]
        before = self._requested.get(course.frame, 0)
        # At first most images are new, or the same few would be shown over and over.
        fresh = max(course.fresh, min(course.count, 2 * course.count - before))
        self._requested[course.frame] = before + fresh
        seeds = range(self.next_scene, self.next_scene + 2 * fresh)
        self.next_scene += len(seeds)
        return Wanted(course.frame, course.count, self._workers.submit(self._prepare, course.frame, seeds, fresh))


def draw_many(frame: Frame, seeds: Sequence[int], count: int) -> list[Drawn]:
    """Return up to `count` views of the scenes of these seeds, of few scenes as many as it takes."""
    views: list[Drawn] = []
    for seed in seeds:
        if len(views) >= count:
            break
        views += draw_views(seed, frame)
    return views[:count]


def render_compiled(frame: Frame, seeds: Sequence[int], count: int) -> Stored:
    """Return up to `count` images of the scenes of these seeds, rendered by PyTorch, which compiles first."""
    torch.set_num_threads(1)
    return Stored.of(render_batch(draw_many(frame, seeds, count), frame.size_hw))


def render_many(frame: Frame, seeds: Sequence[int], count: int) -> Stored:
    """Return up to `count` images of the scenes of these seeds, rendered by NumPy with one sample per pixel."""
    images = []
    for view in draw_many(frame, seeds, count):
        rays = padded_rays(view, frame.size_hw)
        seen = render(view.scene, view.pose, rays, samples=1)
        scale = CANONICAL_FOCAL_PX / view.focal_px
        depth = np.where(np.isfinite(seen.depth_m), seen.depth_m * scale, np.inf)
        valid = seen_pixels(view, frame.size_hw)
        rgb = np.where(valid[..., None], seen.rgb, np.rint(MEAN_RGB)).astype(np.uint8)
        normal = np.rint(np.nan_to_num(seen.normal) * 127).astype(np.int8)
        images.append((rgb.transpose(2, 0, 1), depth.astype(np.float16), normal.transpose(2, 0, 1), valid))
    return Stored(*(torch.from_numpy(np.stack(column)) for column in zip(*images, strict=True)))


def disguise(batch: Batch, generator: torch.Generator) -> Batch:
    """Mirror half of the images, paste clutter before them, photograph them, and replace a few by nothing."""
    count, device = len(batch.rgb), batch.rgb.device

    def one_of(probability: float) -> Tensor:
        return torch.rand(count, generator=generator, device=device) < probability

    flip = one_of(0.5)
    rgb, depth, normal, valid = (torch.where(flip.view(-1, *[1] * (t.dim() - 1)), t.flip(-1), t) for t in batch)
    sign = torch.where(flip[:, None], torch.tensor([-1.0, 1.0, 1.0], device=device), torch.ones(3, device=device))
    normal = normal * sign[:, :, None, None]
    rgb, depth, normal = paste_clutter(rgb, depth, normal, generator)
    blank = one_of(BLANK_SHARE)
    colour = torch.rand((count, 3, 1, 1), generator=generator, device=device) * 255
    noise = torch.randn(rgb.shape, generator=generator, device=device)
    strength = torch.rand((count, 1, 1, 1), generator=generator, device=device) ** 3 * 80
    rgb = torch.where(blank[:, None, None, None], (colour + noise * strength).clamp(0, 255), rgb)
    depth = torch.where(blank[:, None, None], torch.inf, depth)
    normal = torch.where(blank[:, None, None, None], torch.nan, normal)
    rgb = torch.where(valid[:, None], photograph(rgb, generator), mean_colour(device))
    return Batch(rgb, depth, normal, valid)


def held_out(frame: Frame, count: int, *, first: int = HELD_OUT_FROM) -> Batch:
    """Return one view of each of `count` scenes that training never sees, as they are rendered."""
    images: list[Stored] = []
    seed = first
    while len(images) < count:
        if draw_views(seed, frame, cropped=False):
            images.append(render_many(frame, [seed], 1))
        seed += 1
    return Stored(*(torch.cat(column) for column in zip(*images, strict=True))).opened()
