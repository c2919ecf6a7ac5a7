"""Training and held-out images of the synthetic world, with the truth in the network's own terms."""

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metric3d_export.demo_model.twin import render_views
from metric3d_ros.model_contract import CANONICAL_FOCAL_PX, MEAN_RGB
from metric3d_ros.world.randomness import Rng
from metric3d_ros.world.renderer import pinhole_rays
from metric3d_ros.world.scene import Scene, build_scene
from metric3d_ros.world.viewpoint import Pose, draw_poses

FOCAL_OF_WIDTH = (0.6, 1.6)
HELD_OUT_FROM = 1_000_000_000  # seeds from here on are never trained on
VIEWS_PER_SCENE = 3

SizeHw = tuple[int, int]


class Drawn(NamedTuple):
    """A view that is not rendered yet."""

    scene: Scene
    pose: Pose
    focal_px: float
    seen_hw: SizeHw  # the camera's own size; smaller than the image where it is padded with the mean colour


class Batch(NamedTuple):
    """Images and their truth."""

    rgb: Tensor  # (N, 3, H, W) float32, 0..255
    depth: Tensor  # (N, H, W) float32, metres of the canonical camera
    normal: Tensor  # (N, 3, H, W) float32, optical frame
    valid: Tensor  # (N, H, W) bool, False in the padding


@dataclass(frozen=True)
class Frame:
    """A size at which the network sees images, and the size of the camera whose images are padded to it."""

    size_hw: SizeHw
    seen_hw: SizeHw | None = None


def draw_views(seed: int, frame: Frame) -> list[Drawn]:
    """Return up to three good views of the scene of a seed, all with one random focal length; at times none."""
    scene, rng = build_scene(seed), Rng(seed, 1)
    height, width = frame.seen_hw or frame.size_hw
    focal_px = width * rng.uniform(*FOCAL_OF_WIDTH)
    poses = draw_poses(
        scene,
        rng,
        tan_half_width=width / (2 * focal_px),
        tan_half_height=height / (2 * focal_px),
        candidates=2 * VIEWS_PER_SCENE,
    )
    return [Drawn(scene, pose, focal_px, (height, width)) for pose in poses[:VIEWS_PER_SCENE]]


def render_batch(drawn: list[Drawn], size_hw: SizeHw) -> Batch:
    """Render views at one size; where the camera is smaller, the rest is the mean colour and not valid."""
    rgb, depth, normal = render_views(
        [view.scene for view in drawn],
        torch.from_numpy(np.stack([view.pose.rotation for view in drawn])),
        torch.from_numpy(np.stack([view.pose.position for view in drawn])),
        torch.from_numpy(np.stack([pinhole_rays(size_hw, fx=view.focal_px) for view in drawn])),
    )
    scale = torch.tensor([CANONICAL_FOCAL_PX / view.focal_px for view in drawn])
    valid = torch.zeros(depth.shape, dtype=torch.bool)
    rgb = rgb.permute(0, 3, 1, 2) * 255
    for index, view in enumerate(drawn):
        rows, columns = ((whole - part) // 2 for whole, part in zip(size_hw, view.seen_hw, strict=True))
        valid[index, rows : rows + view.seen_hw[0], columns : columns + view.seen_hw[1]] = True
    mean = torch.tensor(MEAN_RGB)[:, None, None]
    rgb = torch.where(valid[:, None], rgb, mean)
    return Batch(rgb, depth * scale[:, None, None], normal.permute(0, 3, 1, 2), valid)


class _Store:
    """The images of one frame that were rendered last, compact, to be shown again."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.items: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self.oldest = 0

    def put(self, batch: Batch) -> None:
        rgb = batch.rgb.round().to(torch.uint8)
        depth, normal = batch.depth.half(), (batch.normal * 127).round().to(torch.int8)
        for item in zip(rgb, depth, normal, batch.valid, strict=True):
            if len(self.items) < self.capacity:
                self.items.append(item)
            else:
                self.items[self.oldest] = item
                self.oldest = (self.oldest + 1) % self.capacity

    def take(self, indices: Tensor) -> Batch:
        rgb, depth, normal, valid = (
            torch.stack(column) for column in zip(*(self.items[i] for i in indices), strict=True)
        )
        normal = normal.float() * (1 / 127)
        return Batch(rgb.float(), depth.float(), normal / normal.square().sum(1, keepdim=True).sqrt(), valid)


class SampleStream:
    """Endless random batches: `fresh` of each batch are rendered now, the others are shown again, jittered anew."""

    def __init__(self, *, seed: int, first_scene: int = 0, capacity: int = 1500) -> None:
        self.next_scene = first_scene
        self._generator = torch.Generator().manual_seed(seed)
        self._capacity = capacity
        self._stores: dict[Frame, _Store] = {}
        self._waiting: dict[Frame, list[Drawn]] = {}
        self._worker = ThreadPoolExecutor(1)
        self._coming: dict[Frame, Future[list[Drawn]]] = {}

    def batch(self, frame: Frame, *, count: int, fresh: int) -> Batch:
        """Return `count` jittered images, of which about `fresh` have not been seen before."""
        store = self._stores.setdefault(frame, _Store(self._capacity))
        fresh = max(fresh, min(count, 2 * count - len(store.items)))
        drawn = self._draw(frame, fresh)
        store.put(render_batch(drawn, frame.size_hw))
        newest = (torch.arange(fresh) + store.oldest - fresh) % len(store.items)
        again = torch.randint(len(store.items), (count - fresh,), generator=self._generator)
        return jitter(store.take(torch.cat([newest, again])), self._generator)

    def _draw(self, frame: Frame, count: int) -> list[Drawn]:
        waiting = self._waiting.setdefault(frame, [])
        if frame in self._coming:
            waiting += self._coming.pop(frame).result()
        while len(waiting) < count:
            waiting += self._more(frame, self._claim(count))
        taken, self._waiting[frame] = waiting[:count], waiting[count:]
        # The next ones are drawn while the network computes.
        if len(self._waiting[frame]) < count:
            self._coming[frame] = self._worker.submit(self._more, frame, self._claim(count))
        return taken

    def _claim(self, count: int) -> range:
        first = self.next_scene
        self.next_scene += max(1, round(count / 2.4))
        return range(first, self.next_scene)

    @staticmethod
    def _more(frame: Frame, seeds: range) -> list[Drawn]:
        return [view for seed in seeds for view in draw_views(seed, frame)]


def jitter(batch: Batch, generator: torch.Generator) -> Batch:
    """Mirror half of the images, and change colours, contrast and noise of all, as cameras differ."""
    count = len(batch.rgb)

    def random(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator) * (high - low) + low

    flip = torch.rand(count, generator=generator) < 0.5
    rgb, depth, normal, valid = (torch.where(flip.view(-1, *[1] * (t.dim() - 1)), t.flip(-1), t) for t in batch)
    normal = normal * torch.where(flip[:, None], torch.tensor([-1.0, 1.0, 1.0]), torch.ones(3))[:, :, None, None]
    gain = random(0.75, 1.2, 1, 1, 1) * random(0.92, 1.08, 3, 1, 1)
    gamma = random(math.log(0.8), math.log(1.25), 1, 1, 1).exp()
    noise = torch.randn(rgb.shape, generator=generator) * random(0.0, 4.0, 1, 1, 1)
    changed = ((rgb / 255).clamp(1e-4, 1) ** gamma * gain * 255 + noise).clamp(0, 255)
    mean = torch.tensor(MEAN_RGB)[:, None, None]
    return Batch(torch.where(valid[:, None], changed, mean), depth, normal, valid)


def held_out(frame: Frame, count: int, *, first: int = HELD_OUT_FROM) -> Iterator[Drawn]:
    """Yield one view of each of `count` scenes that training never sees."""
    seed = first
    while count:
        views = draw_views(seed, frame)
        seed += 1
        if views:
            count -= 1
            yield views[0]
