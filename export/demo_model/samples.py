"""Training and held-out images of the synthetic world, with the truth in the network's own terms."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metric3d_export.demo_model.clutter import paste_clutter
from metric3d_export.demo_model.photography import photograph
from metric3d_export.demo_model.twin import render_views
from metric3d_ros.model_contract import CANONICAL_FOCAL_PX, MEAN_RGB
from metric3d_ros.world.camera_views import draw_focal_px, draw_training_views
from metric3d_ros.world.randomness import Rng
from metric3d_ros.world.renderer import pinhole_rays
from metric3d_ros.world.solids import Scene
from metric3d_ros.world.viewpoint import Pose
from metric3d_ros.world.worlds import FURNISHED, PLAIN, STREET

MOST_ENLARGED = 2.0  # training sees crops of images that are up to this many times as wide
HELD_OUT_FROM = 1_000_000_000  # seeds from here on are never trained on
VIEWS_PER_SCENE = 3
BLANK_SHARE = 0.03  # images of nothing, by which confidence learns what nothing looks like

EVERYWHERE = ((PLAIN, 0.25), (FURNISHED, 0.45), (STREET, 0.30))
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


def draw_views(seed: int, frame: Frame, *, cropped: bool = True) -> list[Drawn]:
    """Return up to three views of the scene of a seed, all with one random focal length; at times none.

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


def render_batch(drawn: Sequence[Drawn], size_hw: SizeHw, device: torch.device | str = "cpu") -> Batch:
    """Render views at one size; where the camera is smaller, the rest is the mean colour and not valid."""
    margins = [tuple((whole - part) // 2 for whole, part in zip(size_hw, view.seen_hw, strict=True)) for view in drawn]
    rays = [
        pinhole_rays(size_hw, fx=view.focal_px, cx=view.centre[0] + left, cy=view.centre[1] + top)
        for view, (top, left) in zip(drawn, margins, strict=True)
    ]
    rgb, depth, normal = render_views(
        [view.scene for view in drawn],
        torch.from_numpy(np.stack([view.pose.rotation for view in drawn])).to(device),
        torch.from_numpy(np.stack([view.pose.position for view in drawn])).to(device),
        torch.from_numpy(np.stack(rays)).to(device),
    )
    scale = torch.tensor([CANONICAL_FOCAL_PX / view.focal_px for view in drawn], device=device)
    valid = torch.zeros(depth.shape, dtype=torch.bool)
    for index, (view, (top, left)) in enumerate(zip(drawn, margins, strict=True)):
        valid[index, top : top + view.seen_hw[0], left : left + view.seen_hw[1]] = True
    valid = valid.to(device)
    rgb = torch.where(valid[:, None], rgb.permute(0, 3, 1, 2) * 255, mean_colour(rgb.device))
    return Batch(rgb, depth * scale[:, None, None], normal.permute(0, 3, 1, 2), valid)


def mean_colour(device: torch.device) -> Tensor:
    """Return the colour of padding (3, 1, 1), 0..255."""
    return torch.tensor(MEAN_RGB, device=device)[:, None, None]


class _Store:
    """The images of one frame that were rendered last, compact, to be shown again."""

    def __init__(self, capacity: int, size_hw: SizeHw, device: torch.device) -> None:
        self.count, self.next = 0, 0
        self.rgb, self.depth, self.normal, self.valid = (
            torch.empty((capacity, *channels, *size_hw), dtype=dtype, device=device)
            for channels, dtype in (((3,), torch.uint8), ((), torch.half), ((3,), torch.int8), ((), torch.bool))
        )

    def put(self, batch: Batch) -> Tensor:
        """Store images in place of the oldest ones, and return where."""
        capacity = len(self.rgb)
        places = (torch.arange(len(batch.rgb)) + self.next) % capacity
        index = places.to(self.rgb.device)
        self.rgb[index] = batch.rgb.round().to(torch.uint8)
        self.depth[index] = batch.depth.half()
        self.normal[index] = (batch.normal * 127).round().to(torch.int8)
        self.valid[index] = batch.valid
        self.next = (self.next + len(batch.rgb)) % capacity
        self.count = min(capacity, self.count + len(batch.rgb))
        return places

    def take(self, places: Tensor) -> Batch:
        index = places.to(self.rgb.device)
        normal = self.normal[index].float()
        normal = normal / normal.square().sum(1, keepdim=True).sqrt()  # NaN for sky, whose normal is 0
        return Batch(self.rgb[index].float(), self.depth[index].float(), normal, self.valid[index])


class SampleStream:
    """Endless random batches: `fresh` of each batch are rendered now, the others are shown again, photographed anew.

    Scenes are drawn ahead by `workers` processes, or by one thread for 0.
    """

    def __init__(
        self,
        *,
        seed: int,
        first_scene: int = 0,
        capacity: int = 1500,
        device: torch.device | str = "cpu",
        workers: int = 0,
    ) -> None:
        self.next_scene = first_scene
        self.device = torch.device(device)
        self._generator = torch.Generator(self.device).manual_seed(seed)
        self._chooser = torch.Generator().manual_seed(seed)
        self._capacity = capacity
        self._stores: dict[Frame, _Store] = {}
        self._waiting: dict[Frame, list[Drawn]] = {}
        self._ahead = max(1, 2 * workers)
        self._drawer: Executor = (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn")) if workers else ThreadPoolExecutor(1)
        )
        self._coming: dict[Frame, list[Future[list[Drawn]]]] = {}

    def close(self) -> None:
        """End the processes that draw scenes."""
        self._drawer.shutdown(cancel_futures=True)

    def batch(self, frame: Frame, *, count: int, fresh: int) -> Batch:
        """Return `count` photographed images, of which about `fresh` have not been seen before."""
        if frame not in self._stores:
            self._stores[frame] = _Store(self._capacity, frame.size_hw, self.device)
        store = self._stores[frame]
        fresh = max(fresh, min(count, 2 * count - store.count))
        newest = store.put(render_batch(self._draw(frame, fresh), frame.size_hw, self.device))
        again = torch.randint(store.count, (count - fresh,), generator=self._chooser)
        return disguise(store.take(torch.cat([newest, again])), self._generator)

    def _draw(self, frame: Frame, count: int) -> list[Drawn]:
        waiting = self._waiting.setdefault(frame, [])
        coming = self._coming.setdefault(frame, [])
        while len(waiting) < count:
            # The next ones are drawn while the network computes.
            while len(coming) <= self._ahead:
                coming.append(self._drawer.submit(draw_many, frame, self._claim(count)))
            waiting += coming.pop(0).result()
        taken, self._waiting[frame] = waiting[:count], waiting[count:]
        return taken

    def _claim(self, count: int) -> range:
        first = self.next_scene
        self.next_scene += max(1, round(count / 2.4))
        return range(first, self.next_scene)


def draw_many(frame: Frame, seeds: Sequence[int]) -> list[Drawn]:
    """Return the views of several seeds."""
    return [view for seed in seeds for view in draw_views(seed, frame)]


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


def held_out(frame: Frame, count: int, *, first: int = HELD_OUT_FROM) -> Iterator[Drawn]:
    """Yield one view of each of `count` scenes that training never sees."""
    seed = first
    while count:
        views = draw_views(seed, frame, cropped=False)
        seed += 1
        if views:
            count -= 1
            yield views[0]
