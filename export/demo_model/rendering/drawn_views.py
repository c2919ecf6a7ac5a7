"""Random views of the synthetic world for training: their scenes and poses, stacked for any device to render."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metric3d_export.demo_model.rendering.torch_world import stack_tables
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import Scene
from metric3d_ros.world.rendering.ray_casting import Tables
from metric3d_ros.world.rendering.viewpoint import Pose
from metric3d_ros.world.scenes import FURNISHED, PLAIN, STREET
from metric3d_ros.world.views import draw_focal_px, draw_training_views

MOST_ENLARGED = 2.0  # training sees crops of images that are up to this many times as wide
VIEWS_PER_SCENE = 2
TOGETHER = 32  # views that a GPU renders at once, at most
EVERYWHERE = ((PLAIN, 0.35), (FURNISHED, 0.38), (STREET, 0.27))
ON_ROADS = ((FURNISHED, 0.15), (STREET, 0.85))
SizeHw = tuple[int, int]


class Drawn(NamedTuple):
    """A view that is not rendered yet."""

    scene: Scene
    pose: Pose
    focal_px: float
    centre: tuple[float, float]  # principal point x, y in pixels of the whole image; off the middle in crops


@dataclass(frozen=True)
class Frame:
    """A size at which the network sees images, the size of the camera whose images are padded to it, and the worlds."""

    size_hw: SizeHw
    camera_hw: SizeHw | None = None
    mix: tuple[tuple[str, float], ...] = EVERYWHERE
    """The worlds that it sees, with their shares."""

    @property
    def seen_hw(self) -> SizeHw:
        """The camera's size, in the middle of the image; around it is padding of the mean colour."""
        return self.camera_hw or self.size_hw

    @property
    def margins(self) -> SizeHw:
        """The rows above and the columns left of what the camera sees."""
        (height, width), (seen_height, seen_width) = self.size_hw, self.seen_hw
        return (height - seen_height) // 2, (width - seen_width) // 2

    def seen_pixels(self) -> NDArray[np.bool_]:
        """Return which pixels (H, W) the camera sees."""
        (top, left), (height, width) = self.margins, self.seen_hw
        seen = np.zeros(self.size_hw, bool)
        seen[top : top + height, left : left + width] = True
        return seen


def draw_views(seed: int, frame: Frame, *, cropped: bool = True) -> list[Drawn]:
    """Return up to two views of the scene of a seed, all with one random focal length; sometimes none.

    `cropped` views are crops of larger images, as a network sees them if it looks at a larger image.
    """
    rng = Rng(seed, 11)
    (height, width), (top, left) = frame.seen_hw, frame.margins
    enlarged = rng.uniform(1.0, MOST_ENLARGED) if cropped and rng.chance(0.4) else 1.0
    focal_px = enlarged * draw_focal_px(rng, width)
    views = draw_training_views(
        seed, size_hw=(height, width), mix=dict(frame.mix), count=VIEWS_PER_SCENE, focal_px=focal_px
    )
    slack_x, slack_y = (enlarged - 1) * width / 2, (enlarged - 1) * height / 2
    drawn = []
    for pose in views.poses:
        centre = (
            left + (width - 1) / 2 + rng.uniform(-slack_x, slack_x),
            top + (height - 1) / 2 + rng.uniform(-slack_y, slack_y),
        )
        drawn.append(Drawn(views.scene, pose, focal_px, centre))
    return drawn


def draw_many(frame: Frame, seeds: Sequence[int], count: int) -> list[Drawn]:
    """Return up to `count` views of the scenes of these seeds, from as few scenes as possible."""
    views: list[Drawn] = []
    for seed in seeds:
        if len(views) >= count:
            break
        views += draw_views(seed, frame)
    return views[:count]


class Prepared(NamedTuple):
    """Views that any device can render at once: arrays with a row for each view."""

    tables: Tables
    rotation: NDArray[np.float32]  # (N, 3, 3) camera to world
    position: NDArray[np.float32]  # (N, 3) metres
    focal_px: NDArray[np.float32]  # (N,)
    centre: NDArray[np.float32]  # (N, 2) principal point x, y in pixels of the whole image

    @classmethod
    def of(cls, drawn: Sequence[Drawn]) -> "Prepared":
        """Stack views."""
        return cls(
            Tables(*(table.numpy() for table in stack_tables([view.scene for view in drawn]))),
            np.stack([view.pose.rotation for view in drawn]),
            np.stack([view.pose.position for view in drawn]),
            np.array([view.focal_px for view in drawn], np.float32),
            np.array([view.centre for view in drawn], np.float32),
        )


def prepare_many(frame: Frame, seeds: Sequence[int], count: int) -> list[Prepared]:
    """Return up to `count` views of the scenes of these seeds, grouped by similar numbers of solids."""
    torch.set_num_threads(1)
    views = sorted(draw_many(frame, seeds, count), key=lambda view: len(view.scene.materials))
    return [Prepared.of(views[first : first + TOGETHER]) for first in range(0, len(views), TOGETHER)]


def rays_of(focal_px: Tensor, centre: Tensor, size_hw: SizeHw) -> Tensor:
    """Return the rays (N, H, W, 3), z = 1, of pinhole cameras: focal lengths (N,) and principal points (N, 2)."""
    height, width = size_hw
    across = (torch.arange(width, device=centre.device) - centre[:, :1]) / focal_px[:, None]
    down = (torch.arange(height, device=centre.device) - centre[:, 1:]) / focal_px[:, None]
    x, y = across[:, None].expand(-1, height, -1), down[:, :, None].expand(-1, -1, width)
    return torch.stack([x, y, torch.ones_like(x)], dim=-1)
