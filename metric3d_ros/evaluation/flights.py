"""Held-out flights: image sequences of a moving camera with exact depth, normals and pose, rendered frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.comparison.labelled_images import Sample
from metric3d_ros.errors import ConfigurationError, DataError
from metric3d_ros.world.description.solids import Scene
from metric3d_ros.world.held_out import HELD_OUT_FROM
from metric3d_ros.world.rendering.renderer import render
from metric3d_ros.world.rendering.viewpoint import Pose, camera_flight
from metric3d_ros.world.scenes import PLAIN, WORLDS, build_scene

FLIGHT_SIZE_HW = (252, 336)
FLIGHT_HFOV_DEG = 70.0

_MOST_SCENES_TRIED = 20


@dataclass(frozen=True)
class FlightFrame:
    """One image of a flight and the truth about it.

    Attributes:
        rgb: uint8 (H, W, 3).
        camera: the image's camera.
        true_depth_m: float32 (H, W), metres along the optical axis, NaN where there is none (sky, no ray).
        true_normals: float32 (H, W, 3), unit, optical frame, NaN where there is none.
        sky: bool (H, W).
        pose: where the camera was; the world's z points up from the floor, metres.
    """

    rgb: npt.NDArray[np.uint8]
    camera: Camera
    true_depth_m: npt.NDArray[np.float32]
    true_normals: npt.NDArray[np.float32]
    sky: npt.NDArray[np.bool_]
    pose: Pose

    @property
    def up(self) -> npt.NDArray[np.float64]:
        """The direction away from the floor, (3,) float64, in the optical frame."""
        return np.asarray(self.pose.rotation[2], np.float64)

    @property
    def height_m(self) -> float:
        """The camera's height above the floor, metres."""
        return float(self.pose.position[2])

    def to_sample(self, name: str = "", group: str = "") -> Sample:
        """Return the frame as a sample with its pose."""
        world_from_camera = np.eye(4)
        world_from_camera[:3, :3], world_from_camera[:3, 3] = self.pose.rotation, self.pose.position
        return Sample(
            name=name,
            group=group,
            rgb=self.rgb,
            camera=self.camera,
            true_depth_m=self.true_depth_m,
            true_normals=self.true_normals,
            world_from_camera=world_from_camera,
        )

    def true_heights_m(self) -> npt.NDArray[np.float32]:
        """Return how high above the floor each pixel's surface is: (H, W) float32 metres, NaN where nothing is."""
        heights = self.camera.rays() @ self.up.astype(np.float32) * self.true_depth_m + np.float32(self.height_m)
        return np.asarray(heights, np.float32)


@dataclass(frozen=True)
class HeldOutFlights:
    """A flight of `frames` images through each of `count` scenes that no training saw, always the same ones.

    Scenes that have no room for a flight are passed over. Raises ConfigurationError for a world that does not exist
    and for counts below 1.
    """

    count: int
    frames: int = 60
    size_hw: tuple[int, int] = FLIGHT_SIZE_HW
    hfov_deg: float = FLIGHT_HFOV_DEG
    world: str = PLAIN

    def __post_init__(self) -> None:
        if self.world not in WORLDS:
            raise ConfigurationError(f"the world is '{self.world}', expected one of {', '.join(WORLDS)}")
        if self.count < 1 or self.frames < 1:
            raise ConfigurationError(f"{self.count} flights of {self.frames} frames, expected at least 1 of each")

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator["Flight"]:
        """Yield the flights; their frames are rendered as they are asked for."""
        camera = Camera.from_hfov(self.size_hw[1], self.size_hw[0], hfov_deg=self.hfov_deg)
        found = 0
        for seed in range(HELD_OUT_FROM, HELD_OUT_FROM + _MOST_SCENES_TRIED * self.count):
            scene = build_scene(seed, self.world)
            try:
                poses = camera_flight(
                    scene,
                    frames=self.frames,
                    tan_half_width=camera.width / 2 / camera.fx,
                    tan_half_height=camera.height / 2 / camera.fy,
                )
            except DataError:
                continue
            yield Flight(f"flight {seed}", scene, tuple(poses), camera)
            found += 1
            if found == self.count:
                return
        raise DataError(
            f"only {found} of {self.count} flights of {self.frames} frames fit into {_MOST_SCENES_TRIED * self.count} "
            f"{self.world} scenes: ask for fewer or shorter ones"
        )


@dataclass(frozen=True)
class Flight:
    """One flight: its name, scene, poses and camera."""

    name: str
    scene: Scene
    poses: tuple[Pose, ...]
    camera: Camera

    def __len__(self) -> int:
        return len(self.poses)

    def __iter__(self) -> Iterator[FlightFrame]:
        """Render and yield the frames in order."""
        for index, pose in enumerate(self.poses):
            yield render_frame(self.scene, pose, self.camera, noise_seed=index)


def level_flight(flight: Flight) -> list[FlightFrame]:
    """Return the frames of a flight whose camera keeps its height, as a robot's does."""
    height_m = float(np.median([pose.position[2] for pose in flight.poses]))
    poses = [
        Pose(pose.rotation, np.array([pose.position[0], pose.position[1], height_m], np.float32))
        for pose in flight.poses
    ]
    return list(replace(flight, poses=tuple(poses)))


def render_frame(
    scene: Scene, pose: Pose, camera: Camera, *, samples: int = 2, noise_seed: int | None = None
) -> FlightFrame:
    """Return the image that `camera` takes of a scene, with the truth about it; the options are those of `render`."""
    view = render(scene, pose, camera.rays(), samples=samples, noise_seed=noise_seed)
    return FlightFrame(
        rgb=view.rgb,
        camera=camera,
        true_depth_m=np.where(view.valid, view.depth_m, np.float32(np.nan)),
        true_normals=view.normal,
        sky=view.sky,
        pose=pose,
    )
