"""Training and held-out images of the synthetic world, with the truth in the network's own terms."""

import random
import signal
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric3d_export.demo_model.clutter import paste_clutter
from metric3d_export.demo_model.photography import Randomness, constant, photograph
from metric3d_export.demo_model.rendering.drawn_views import (
    Frame,
    Prepared,
    SizeHw,
    draw_many,
    draw_views,
    prepare_many,
    rays_of,
)
from metric3d_export.demo_model.rendering.torch_renderer import render_views
from metric3d_ros.model_contract import CANONICAL_FOCAL_PX, MEAN_RGB
from metric3d_ros.parent_process import begin_worker
from metric3d_ros.world.rendering.ray_casting import Tables
from metric3d_ros.world.rendering.renderer import pinhole_rays, render

HELD_OUT_FROM = 1_000_000_000  # seeds from here on are never trained on
BLANK_SHARE = 0.03  # images without content, so that confidence learns to be low on them


class Batch(NamedTuple):
    """Images and their truth."""

    rgb: Tensor  # (N, 3, H, W) float32, 0..255
    depth: Tensor  # (N, H, W) float32, metres of the canonical camera; infinite where there is sky, or nothing to see
    normal: Tensor  # (N, 3, H, W) float32, optical frame, NaN where unknown
    valid: Tensor  # (N, H, W) bool, False in the padding


@dataclass(frozen=True)
class Course:
    """One kind of batch and its share of the steps."""

    frame: Frame
    share: float
    count: int  # images per batch
    fresh: int  # of which newly rendered


def render_batch(views: Prepared, frame: Frame, device: torch.device | str = "cpu") -> Batch:
    """Render views on a device; if the camera is smaller than the image, the rest is the mean colour and invalid."""
    tables = Tables(*(to_device(table, device) for table in views.tables))
    rotation, position, focal_px, centre = (to_device(array, device) for array in views[1:])
    rgb, depth, normal = render_views(tables, rotation, position, rays_of(focal_px, centre, frame.size_hw))
    valid = to_device(frame.seen_pixels(), device).expand(len(rgb), -1, -1)
    rgb = torch.where(valid[:, None], rgb.permute(0, 3, 1, 2) * 255, mean_colour(rgb.device))
    return Batch(rgb, depth * (CANONICAL_FOCAL_PX / focal_px)[:, None, None], normal.permute(0, 3, 1, 2), valid)


def to_device(array: NDArray[Any], device: torch.device | str) -> Tensor:
    """Return an array on a device, without waiting for what a GPU has to do before."""
    tensor = torch.from_numpy(array)
    if torch.device(device).type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def mean_colour(device: torch.device) -> Tensor:
    """Return the colour of padding (3, 1, 1), 0..255."""
    return constant(MEAN_RGB, device)[:, None, None]


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
        index = to_device(places.numpy(), self.images.rgb.device)
        for column, images in zip(self.images, new, strict=True):
            column[index] = images
        self.next = (self.next + count) % capacity
        self.count = min(capacity, self.count + count)
        return places

    def take(self, places: Tensor) -> Batch:
        index = to_device(places.numpy(), self.images.rgb.device)
        return Stored(*(column[index] for column in self.images)).opened()


class Wanted(NamedTuple):
    """A batch that is to come: its frame and size, and its new images, still being made."""

    frame: Frame
    count: int
    coming: Future[Any]


class SampleStream:
    """Endless random batches: some of each batch's images are new, the others are reused with new augmentation.

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
        self._randomness = Randomness.of(seed, self.device)
        self._capacity = capacity
        self._stores: dict[Frame, _Store] = {}
        self._requested: dict[Frame, int] = {}
        on_cpu = render_compiled if workers else render_many
        self._renders_here = self.device.type != "cpu"
        self._prepare = prepare_many if self._renders_here else on_cpu
        self._workers: Executor = start_workers(workers) if workers else ThreadPoolExecutor(1)
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
        if self._renders_here:
            parts = [Stored.of(render_batch(views, frame, self.device)) for views in made]
            made = Stored(*(torch.cat(column) for column in zip(*parts, strict=True)))
        newest = store.put(made)
        again = torch.tensor([self._chooser.randrange(store.count) for _ in range(count - len(newest))]).long()
        return disguise(store.take(torch.cat([newest, again])), self._randomness)

    def _request(self) -> Wanted:
        course = self._chooser.choices(self._courses, [course.share for course in self._courses])[0]
        before = self._requested.get(course.frame, 0)
        # At first most images are new, or the same few would be shown over and over.
        fresh = max(course.fresh, min(course.count, 2 * course.count - before))
        self._requested[course.frame] = before + fresh
        seeds = range(self.next_scene, self.next_scene + 2 * fresh)
        self.next_scene += len(seeds)
        return Wanted(course.frame, course.count, self._workers.submit(self._prepare, course.frame, seeds, fresh))


def start_workers(count: int) -> ProcessPoolExecutor:
    """Start processes that prepare images, and end at once with the training."""
    return ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=begin_worker, initargs=(signal.SIG_DFL,)
    )


def render_compiled(frame: Frame, seeds: Sequence[int], count: int) -> Stored:
    """Return up to `count` images of the scenes of these seeds, rendered by PyTorch, which compiles first."""
    torch.set_num_threads(1)
    return Stored.of(render_batch(Prepared.of(draw_many(frame, seeds, count)), frame))


def render_many(frame: Frame, seeds: Sequence[int], count: int) -> Stored:
    """Return up to `count` images of the scenes of these seeds, rendered by NumPy with one sample per pixel."""
    images = []
    for view in draw_many(frame, seeds, count):
        rays = pinhole_rays(frame.size_hw, fx=view.focal_px, cx=view.centre[0], cy=view.centre[1])
        seen = render(view.scene, view.pose, rays, samples=1)
        scale = CANONICAL_FOCAL_PX / view.focal_px
        depth = np.where(np.isfinite(seen.depth_m), seen.depth_m * scale, np.inf)
        valid = frame.seen_pixels()
        rgb = np.where(valid[..., None], seen.rgb, np.rint(MEAN_RGB)).astype(np.uint8)
        normal = np.rint(np.nan_to_num(seen.normal) * 127).astype(np.int8)
        images.append((rgb.transpose(2, 0, 1), depth.astype(np.float16), normal.transpose(2, 0, 1), valid))
    return Stored(*(torch.from_numpy(np.stack(column)) for column in zip(*images, strict=True)))


def disguise(batch: Batch, randomness: Randomness) -> Batch:
    """Augment images: mirror half, paste clutter before them, add a camera's faults, replace a few by empty ones."""
    count, device, generator = len(batch.rgb), batch.rgb.device, randomness.each

    def one_of(probability: float) -> Tensor:
        return torch.rand(count, generator=generator, device=device) < probability

    flip = one_of(0.5)
    rgb, depth, normal, valid = (torch.where(flip.view(-1, *[1] * (t.dim() - 1)), t.flip(-1), t) for t in batch)
    sign = torch.where(flip[:, None], constant((-1.0, 1.0, 1.0), device), constant((1.0, 1.0, 1.0), device))
    normal = normal * sign[:, :, None, None]
    rgb, depth, normal = paste_clutter(rgb, depth, normal, randomness)
    blank = one_of(BLANK_SHARE)
    colour = torch.rand((count, 3, 1, 1), generator=generator, device=device) * 255
    noise = torch.randn(rgb.shape, generator=generator, device=device)
    strength = torch.rand((count, 1, 1, 1), generator=generator, device=device) ** 3 * 80
    rgb = torch.where(blank[:, None, None, None], (colour + noise * strength).clamp(0, 255), rgb)
    depth = torch.where(blank[:, None, None], torch.inf, depth)
    normal = torch.where(blank[:, None, None, None], torch.nan, normal)
    rgb = torch.where(valid[:, None], photograph(rgb, randomness), mean_colour(device))
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
