"""Held-out scenes: rendered rooms with exact depth and normals that no training of the demo model has seen."""

from collections.abc import Iterator
from dataclasses import dataclass

from metric3d_ros.camera import Camera
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.evaluation.samples import Sample
from metric3d_ros.world.randomness import Rng
from metric3d_ros.world.renderer import render
from metric3d_ros.world.scene import build_scene
from metric3d_ros.world.viewpoint import draw_poses

HELD_OUT_FROM = 1_000_000_000
"""Scene seeds from here on are never trained on."""

FOCAL_OF_WIDTH = (0.6, 1.6)
"""Focal lengths as parts of the image's width that training draws from, and that are drawn here as well."""

_CANDIDATES = 6


@dataclass(frozen=True)
class HeldOutScenes:
    """One view of each of `count` scenes, always the same ones.

    `focal_factor` is the focal length as a part of the width; None draws one per scene from `FOCAL_OF_WIDTH`. Scenes
    without a view worth having are passed over. Raises ConfigurationError for a factor that no lens has.
    """

    count: int
    size_hw: tuple[int, int]
    focal_factor: float | None = None

    def __post_init__(self) -> None:
        if self.focal_factor is not None and not 0.2 <= self.focal_factor <= 20:
            raise ConfigurationError(f"the focal factor is {self.focal_factor:g}, expected 0.2 to 20 times the width")

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Sample]:
        """Render and yield the samples one by one."""
        found, seed = 0, HELD_OUT_FROM
        while found < self.count:
            sample = self._render(seed)
            seed += 1
            if sample is not None:
                found += 1
                yield sample

    def _render(self, seed: int) -> Sample | None:
        scene, rng = build_scene(seed), Rng(seed, 1)
        height, width = self.size_hw
        drawn_factor = rng.uniform(*FOCAL_OF_WIDTH)  # drawn in any case, so that the poses stay the same
        focal_px = width * (self.focal_factor or drawn_factor)
        camera = Camera.from_focal(width, height, focal_px=focal_px)
        poses = draw_poses(
            scene,
            rng,
            tan_half_width=width / 2 / focal_px,
            tan_half_height=height / 2 / focal_px,
            candidates=_CANDIDATES,
        )
        if not poses:
            return None
        view = render(scene, poses[0], camera.rays(), noise_seed=seed)
        return Sample(
            name=f"scene {seed}",
            group=scene.kind,
            rgb=view.rgb,
            camera=camera,
            true_depth_m=view.depth_m,
            true_normals=view.normal,
        )
