"""RerunLog: pictures, depth and clouds as Rerun shows them best, with a layout that follows what there is; no ROS."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import rerun as rr
import rerun.blueprint as rrb

from metric3d_ros.camera import Camera
from metric3d_ros.messages import Cloud
from metric3d_ros.pictures import DepthColours

IMAGE, DEPTH, NORMALS, POINTS = "image", "depth", "normals", "points"
"""The entities' paths."""

TIMELINE = "stamp"
"""The messages' own time."""

_APPLICATION = "metric3d_view"
_JPEG_QUALITY = 90
# A browser decodes each JPEG before it shows it, and on a slow machine shows none for long: small ones go as they are.
_LARGEST_RAW_PX = 640 * 480
_FRUSTUM_M = 0.25
# Half would do for surfaces that face the camera; most do not.
_RADIUS_PER_SPACING = 1.4
_POINT_PX = 2.5
_RANGE_INERTIA = 0.7
# Behind, above and beside the camera, looking ahead: x right, y down, z forward.
_EYE_M, _TARGET_M, _UP = (1.2, -1.3, -1.8), (0.0, 0.2, 3.0), (0.0, -1.0, 0.0)


class RerunLog:
    """One recording, written to a viewer, a file, both, or memory. Its methods belong into one thread.

    What cannot be logged raises whatever Rerun raises: its errors have no common type.
    """

    def __init__(
        self,
        *,
        grpc_url: str | None = None,
        file: Path | None = None,
        to_memory: bool = False,
        recording_id: str | None = None,
        max_points: int = 500_000,
    ) -> None:
        """Open a recording.

        Args:
            grpc_url: of a viewer.
            file: an .rrd file.
            to_memory: `take_bytes` returns what a file would get; the other two are not used then.
            recording_id: the viewer merges recordings with the same id; None: a new id.
            max_points: clouds with more points are thinned.
        """
        rr.set_strict_mode(True)
        self._recording = rr.RecordingStream(_APPLICATION, recording_id=recording_id)
        self._memory: rr.BinaryStream | None = None
        if to_memory:
            self._memory = rr.binary_stream(recording=self._recording)
        else:
            sinks: list[rr.GrpcSink | rr.FileSink] = []
            if grpc_url is not None:
                sinks.append(rr.GrpcSink(grpc_url))
            if file is not None:
                sinks.append(rr.FileSink(file))
            self._recording.set_sinks(*sinks)
        self._recording.log("/", rr.ViewCoordinates.RDF, static=True)
        self._max_points = max_points
        self._cameras: dict[str, Camera] = {}
        self._shown: set[str] = set()
        self._arranged: set[str] = set()
        self._range_m: tuple[float, float] | None = None

    def set_time(self, stamp_ns: int) -> None:
        """Let what follows have happened at this time, nanoseconds since 1970."""
        self._recording.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))

    def log_camera(self, entity: str, camera: Camera) -> None:
        """Place the picture or depth of `entity` in space, as an ideal pinhole camera would have taken it."""
        if self._cameras.get(entity) == camera:
            return
        self._cameras[entity] = camera
        self._recording.log(
            entity,
            rr.Pinhole(
                focal_length=(camera.fx, camera.fy),
                # Its shader takes a pixel's index for its place, as ROS does: the depth lies exactly in the cloud.
                principal_point=(camera.cx, camera.cy),
                width=camera.width,
                height=camera.height,
                camera_xyz=rr.ViewCoordinates.RDF,
                image_plane_distance=_FRUSTUM_M,
            ),
        )
        self._shown.add(f"{entity} in space")

    def log_picture(self, entity: str, rgb: npt.NDArray[np.uint8]) -> None:
        """Log (H, W, 3) RGB; large ones as JPEG, of which a viewer's memory holds ten times as many."""
        if rgb.shape[0] * rgb.shape[1] <= _LARGEST_RAW_PX:
            self._recording.log(entity, rr.Image(rgb, color_model="RGB"))
        else:
            bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
            _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            self._recording.log(entity, rr.EncodedImage(contents=jpeg.tobytes(), media_type="image/jpeg"))
        self._shown.add(entity)

    def log_depth(
        self,
        depth_m: npt.NDArray[np.float32],
        *,
        range_m: tuple[float, float] | None = None,
        colour_map: str = "turbo",
    ) -> None:
        """Log (H, W) metres along the optical axis, NaN if invalid.

        `range_m` are the least and greatest depth that have colours of their own; without it they follow slowly.
        `colour_map` is one that Rerun has: of `pictures`, all but jet and cividis.
        """
        if range_m is None:
            fitting = DepthColours.fitting(depth_m)
            before = self._range_m or (fitting.near_m, fitting.far_m)
            range_m = self._range_m = (
                _RANGE_INERTIA * before[0] + (1 - _RANGE_INERTIA) * fitting.near_m,
                _RANGE_INERTIA * before[1] + (1 - _RANGE_INERTIA) * fitting.far_m,
            )
        name = "Grayscale" if colour_map == "gray" else colour_map.capitalize()
        colours = rr.components.Colormap[name]
        image = rr.DepthImage(depth_m, meter=1.0, depth_range=range_m, colormap=colours)
        self._recording.log(DEPTH, image)
        self._shown.add(DEPTH)

    def log_cloud(self, cloud: Cloud) -> None:
        """Log a cloud's valid points in their colours.

        Points of a known camera get the size of their pixels, so that they close to surfaces; others one size on
        the screen.
        """
        rows, columns = _thinning(cloud.points.shape[:2], self._max_points)
        points = cloud.points[::rows, ::columns].reshape(-1, 3)
        valid = np.isfinite(points).all(axis=1)
        points = points[valid]
        colours = None if cloud.rgb is None else cloud.rgb[::rows, ::columns].reshape(-1, 3)[valid]
        camera = self._camera_of(cloud.points.shape[:2])
        sizes = rr.Radius.ui_points(_POINT_PX)
        if camera is not None:
            sizes = points[:, 2] * np.float32(_RADIUS_PER_SPACING * columns / camera.focal_px)
        self._recording.log(POINTS, rr.Points3D(points, colors=colours, radii=sizes))
        self._shown.add(POINTS)

    def flush(self, *, timeout_s: float) -> bool:
        """Send the layout if need be and wait until all is handed over; return whether that was within `timeout_s`.

        Raises RuntimeError if the viewer is gone.
        """
        self._arrange()
        begun_s = time.monotonic()
        try:
            self._recording.flush(timeout_sec=timeout_s)
        except RuntimeError:
            # Rerun raises the same for both. What takes no time is no timeout.
            if time.monotonic() - begun_s < timeout_s / 2:
                raise
            return False
        return True

    def take_bytes(self) -> bytes:
        """Return all that was logged, as the bytes of a file; once, and only with `to_memory`."""
        assert self._memory is not None
        self._arrange()
        return self._memory.read(flush=True) or b""

    def close(self) -> None:
        """Finish the file and leave the viewer."""
        self._recording.disconnect()

    def _camera_of(self, size_hw: tuple[int, ...]) -> Camera | None:
        """Return the camera that a cloud organised as an image comes from."""
        return next((camera for camera in self._cameras.values() if camera.size_hw == size_hw), None)

    def _arrange(self) -> None:
        """Send a layout if something is shown for the first time."""
        if self._shown == self._arranged:
            return
        self._arranged = set(self._shown)
        flat = [rrb.Spatial2DView(origin=name, name=name) for name in (IMAGE, DEPTH, NORMALS) if name in self._shown]
        spatial = self._views_in_space()
        columns: list[rrb.Container | rrb.View] = []
        if spatial:
            columns.append(rrb.Tabs(*spatial) if len(spatial) > 1 else spatial[0])
        if flat:
            columns.append(rrb.Vertical(*flat))
        shares = [5.0, 2.0] if spatial and flat else [1.0]
        if columns:
            layout = rrb.Horizontal(*columns, column_shares=shares)
            self._recording.send_blueprint(rrb.Blueprint(layout, collapse_panels=True))

    def _views_in_space(self) -> Sequence[rrb.Spatial3DView]:
        """Return a view of the cloud and one of the depth image, since one would lie inside the other."""
        frustum = [f"+ /{IMAGE}"] if {IMAGE, f"{IMAGE} in space"} <= self._shown else []
        contents = []
        if POINTS in self._shown:
            contents.append(("points", [f"+ /{POINTS}", *frustum]))
        if {DEPTH, f"{DEPTH} in space"} <= self._shown:
            contents.append(("depth in space", [f"+ /{DEPTH}"]))
        return [
            rrb.Spatial3DView(
                origin="/",
                contents=lines,
                name=name,
                eye_controls=rrb.EyeControls3D(position=_EYE_M, look_target=_TARGET_M, eye_up=_UP),
            )
            for name, lines in contents
        ]


def _thinning(size_hw: tuple[int, int], max_points: int) -> tuple[int, int]:
    """Return the steps in rows and columns that leave about `max_points` or fewer of H x W points."""
    height, width = size_hw
    share = height * width / max_points
    if share <= 1:
        return 1, 1
    if height == 1:
        return 1, math.ceil(share)
    step = math.ceil(math.sqrt(share))
    return step, step
