"""The overview picture: the points of the whole run in perspective, above a few frames with their outputs."""

import dataclasses
import itertools
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from metric3d_ros.demo.frame_record import FrameRecord
from metric3d_ros.demo.perspective import draw_in_perspective
from metric3d_ros.demo.world_map import VOXEL_M, WorldMap
from metric3d_ros.geometry import depth_to_points
from metric3d_ros.pictures import DepthColours, Panel, compose_panels, depth_to_rgb, normals_to_rgb

RgbImage = npt.NDArray[np.uint8]

_ROW_HEIGHT = 230
_HERO_ASPECT = 0.42  # height / width


@dataclass
class Overview:
    """Keeps the rows of the frames in `chosen` (indices) until `draw`."""

    chosen: Collection[int]
    _rows: list[list[Panel]] = field(default_factory=list, init=False)
    _single: FrameRecord | None = field(default=None, init=False)

    def add(self, record: FrameRecord, colours: DepthColours) -> None:
        """Remember a frame if it is one of the chosen, or the first of all."""
        if self._single is None or (record.index in self.chosen and len(self._rows) == len(self.chosen) // 2):
            self._single = record
        if record.index not in self.chosen:
            return
        row = [
            Panel(title="image", picture=record.rgb),
            Panel(title="depth, estimated", picture=depth_to_rgb(record.depth_m, colours), bar=colours),
        ]
        if record.truth is not None:
            row.append(Panel(title="depth, true", picture=depth_to_rgb(record.truth.depth_m, colours), bar=colours))
        if record.normals is not None:
            row.append(Panel(title="normals, estimated", picture=normals_to_rgb(record.normals)))
        if self._rows:  # columns are named once
            row = [dataclasses.replace(panel, title="") for panel in row]
        self._rows.append(row)

    def draw(self, *, world_map: WorldMap | None, subtitle: str) -> RgbImage:
        """Return the overview (h, w, 3): the points on top, then the rows of the chosen frames."""
        rows = compose_panels(self._rows, height=_ROW_HEIGHT, caption=subtitle)
        width = rows.shape[1]
        hero_hw = (round(width * _HERO_ASPECT), width)
        if world_map is not None and len(world_map.points()[0]):
            hero = _draw_map(world_map, hero_hw)
        elif self._single is not None:
            hero = _draw_single(self._single, hero_hw)
        else:
            return rows
        return np.concatenate([hero, rows])


def _draw_map(world_map: WorldMap, size_hw: tuple[int, int]) -> RgbImage:
    """Draw the map from behind and above the flight, with the ceiling cut away and the camera's path in it."""
    points, colours = world_map.points()
    low = points[:, 2] < world_map.ceiling_z_m
    if low.any():
        points, colours = points[low], colours[low]
    bottom, top = (np.percentile(points, share, axis=0) for share in (1, 99))
    centre, reach = (bottom + top) / 2, float(np.linalg.norm((top - bottom)[:2]))
    ahead = np.mean([pose[:, 2] for pose in world_map.poses], axis=0)
    ahead /= max(float(np.linalg.norm(ahead[:2])), 1e-6)
    eye = centre - 0.62 * reach * np.array([ahead[0], ahead[1], 0]) + np.array([0, 0, 0.72 * reach])
    points = np.concatenate([points, _dotted(world_map.path)])
    colours = np.concatenate([colours, np.full((len(points) - len(colours), 3), (76, 194, 255), np.uint8)])
    return draw_in_perspective(points, colours, eye=eye, target=centre, size_hw=size_hw, point_size_m=1.6 * VOXEL_M)


def _draw_single(record: FrameRecord, size_hw: tuple[int, int]) -> RgbImage:
    """Draw one frame's points from behind, above and beside its camera."""
    points = depth_to_points(record.cloud_depth_m(), record.camera).reshape(-1, 3)
    world = points[:, [0, 2, 1]] * np.array([1, 1, -1], np.float32)  # z up
    known = world[np.isfinite(world).all(axis=1)]
    if not len(known):
        return np.zeros((*size_hw, 3), np.uint8)
    centre = np.median(known, axis=0).astype(np.float64)
    away = float(np.linalg.norm(centre))
    eye = np.array([0.45 * away, -0.35 * away, 0.4 * away])
    spacing_m = away / record.camera.focal_px
    return draw_in_perspective(
        world, record.rgb.reshape(-1, 3), eye=eye, target=centre, size_hw=size_hw, point_size_m=2.2 * spacing_m
    )


def _dotted(path: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return points every 2 cm along a path (N, 3)."""
    pieces = [path[:1]]
    for start, end in itertools.pairwise(path):
        count = max(1, int(np.linalg.norm(end - start) / 0.02))
        pieces.append(start + np.linspace(0, 1, count, endpoint=False)[:, None] * (end - start))
    return np.concatenate(pieces).astype(np.float32)
