"""WorldMap: the points of all frames in one frame of reference, thinned to one point per small cube."""

import numpy as np
import numpy.typing as npt

from metric3d_ros.geometry import voxel_means

VOXEL_M = 0.025
_MERGE_POINTS = 1_500_000
_HEADROOM_M = 0.5

Points = npt.NDArray[np.float32]
Colours = npt.NDArray[np.uint8]


class WorldMap:
    """Accumulates clouds at known poses; memory stays bounded by thinning as it goes."""

    def __init__(self) -> None:
        self._points: list[Points] = []
        self._colours: list[Colours] = []
        self._count = 0
        self.poses: list[npt.NDArray[np.float64]] = []
        """(3, 4) world from camera, in the order in which frames came."""

    @property
    def path(self) -> npt.NDArray[np.float64]:
        """Camera positions (N, 3), metres, world frame."""
        return np.array([pose[:, 3] for pose in self.poses]).reshape(-1, 3)

    @property
    def ceiling_z_m(self) -> float:
        """Height above which points are ceiling, or hide the room from above as a ceiling would."""
        return float(self.path[:, 2].max(initial=-np.inf)) + _HEADROOM_M

    def add(self, points: Points, rgb: Colours, world_from_camera: npt.NDArray[np.float64]) -> None:
        """Add (H, W, 3) points of the optical frame, NaN where invalid, in their colours, seen from this pose."""
        flat = points.reshape(-1, 3)
        kept = np.isfinite(flat).all(axis=1)
        rotation, position = world_from_camera[:, :3], world_from_camera[:, 3]
        self._points.append((flat[kept] @ rotation.T + position).astype(np.float32))
        self._colours.append(rgb.reshape(-1, 3)[kept])
        self.poses.append(world_from_camera)
        self._count += len(self._points[-1])
        if self._count > _MERGE_POINTS:
            self.points()

    def points(self) -> tuple[Points, Colours]:
        """Return all points (N, 3) in metres and their colours (N, 3), one per cube of `VOXEL_M`."""
        if not self._points:
            return np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)
        if len(self._points) > 1:
            merged, (colours,) = voxel_means(
                np.concatenate(self._points), size_m=VOXEL_M, attributes=(np.concatenate(self._colours),)
            )
            self._points, self._colours, self._count = [merged], [np.asarray(colours, np.uint8)], len(merged)
        return self._points[0], self._colours[0]
