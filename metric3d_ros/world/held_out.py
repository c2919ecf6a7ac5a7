"""Held-out scenes: rendered rooms and streets with exact depth and normals that no training of the demo model saw."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from metric3d_ros.camera import Camera
from metric3d_ros.comparison.labelled_images import Sample
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.world.description.randomness import Rng
from metric3d_ros.world.description.solids import Scene
from metric3d_ros.world.rendering.renderer import render
from metric3d_ros.world.rendering.viewpoint import Pose, draw_poses
from metric3d_ros.world.scenes import KINDS, PLAIN, WORLDS, build_scene
from metric3d_ros.world.views import draw_training_views

HELD_OUT_FROM = 1_000_000_000
"""Scene seeds from here on are never trained on."""

FOCAL_OF_WIDTH = (0.6, 1.6)
"""Focal lengths as parts of the image's width that training draws from, and that are drawn here as well."""

_CANDIDATES = 6


@dataclass(frozen=True)
class HeldOutScenes:
    """One view of each of `count` scenes, always the same ones.

    `focal_factor` is the focal length as a part of the width; None draws one per scene: in plain rooms from
    `FOCAL_OF_WIDTH`, in the other worlds as `views.draw_focal_px` does. `world` is one of `scenes.WORLDS`,
    `kind` one of its `scenes.KINDS` or None for all of them. Scenes without an informative view are skipped. Raises
    ConfigurationError for a factor that no lens has, and for a world or a kind that does not exist.
    """

    count: int
    size_hw: tuple[int, int]
    focal_factor: float | None = None
    world: str = PLAIN
    kind: str | None = None

    def __post_init__(self) -> None:
        if self.focal_factor is not None and not 0.2 <= self.focal_factor <= 20:
            raise ConfigurationError(f"the focal factor is {self.focal_factor:g}, expected 0.2 to 20 times the width")
        if self.world not in WORLDS:
            raise ConfigurationError(f"the world is '{self.world}', expected one of {', '.join(WORLDS)}")
        kinds = KINDS[self.world]
        if self.kind is not None and self.kind not in kinds:
            raise ConfigurationError(
                f"the kind is '{self.kind}', expected one of {', '.join(kinds)} in the {self.world} world"
            )

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
        height, width = self.size_hw
        if self.world != PLAIN:
            wanted_px = width * self.focal_factor if self.focal_factor else None
            if self.kind is not None and build_scene(seed, self.world).kind != self.kind:
                return None
            views = draw_training_views(seed, size_hw=self.size_hw, mix={self.world: 1.0}, count=1, focal_px=wanted_px)
            camera = Camera.from_focal(width, height, focal_px=views.focal_px)
            return self._sample(views.scene, views.poses, camera)
        scene, rng = build_scene(seed), Rng(seed, 1)
        if self.kind is not None and scene.kind != self.kind:
            return None
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
        return self._sample(scene, poses, camera)

    def _sample(self, scene: Scene, poses: list[Pose], camera: Camera) -> Sample | None:
        if not poses:
            return None
        view = render(scene, poses[0], camera.rays(), noise_seed=scene.seed)
        return Sample(
            name=f"scene {scene.seed}",
            group=scene.kind,
            rgb=view.rgb,
            camera=camera,
            true_depth_m=np.where(view.valid, view.depth_m, np.float32(np.nan)),
            true_normals=view.normal,
        )
