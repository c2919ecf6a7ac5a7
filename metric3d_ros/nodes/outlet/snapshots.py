"""The service ~/save_snapshot: writes one image and everything that was made of it into a folder."""

import shutil
import threading
from pathlib import Path

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from metric3d_ros import __version__
from metric3d_ros.camera.calibration.files import write_calibration
from metric3d_ros.errors import DataError, Metric3DError
from metric3d_ros.geometry import depth_to_points
from metric3d_ros.nodes.outlet.results import Result
from metric3d_ros.nodes.parameters.schema import flatten
from metric3d_ros.nodes.parameters.yaml_writer import parameters_to_yaml
from metric3d_ros.pictures import depth_to_rgb, normals_to_rgb
from metric3d_ros.recordings.depth_files import write_depth
from metric3d_ros.recordings.images import write_rgb
from metric3d_ros.recordings.ply import write_ply

_MOST_OF_ONE_STAMP = 1000


class SnapshotService:
    """Answers ~/save_snapshot with the next image of one camera, whether or not anybody has subscribed to anything."""

    def __init__(self, node: Node, *, timeout_s: float, camera_name: str = "") -> None:
        """Offer the service, as ~/front/save_snapshot where the camera is one of several."""
        self._node = node
        self._timeout_s = timeout_s
        self._camera_name = camera_name
        self._lock = threading.Lock()
        self._waiting: Future | None = None
        name = f"~/{camera_name}/save_snapshot" if camera_name else "~/save_snapshot"
        # Of its own: while the coroutine waits, nothing else of its group is called, images neither.
        self._group = ReentrantCallbackGroup()
        node.create_service(Trigger, name, self._on_request, callback_group=self._group)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a snapshot."""
        return self._waiting is not None

    def save(self, result: Result) -> None:
        """Write `result`, with all that the network gives, and tell whoever waits; called on the worker's thread."""
        name = f"{result.header.stamp.sec}.{result.header.stamp.nanosec:09d}"
        try:
            folder = Path(result.parameters.snapshot.folder).expanduser() / self._camera_name
            saved = write_snapshot(folder, name, result)
        except (OSError, Metric3DError) as error:
            self._finish(Trigger.Response(success=False, message=f"nothing was saved: {error}"))
            return
        self._finish(Trigger.Response(success=True, message=str(saved)))

    async def _on_request(self, _: Trigger.Request, __: Trigger.Response) -> Trigger.Response:
        # A coroutine, so that images go on coming in while it waits for one; whoever asks meanwhile gets the same.
        with self._lock:
            future = self._waiting = self._waiting or Future()

        def give_up() -> None:
            message = f"no image that can be used came within {self._timeout_s:g} s: /diagnostics says more"
            self._finish(Trigger.Response(success=False, message=message))

        # Steady, so that a simulation that stands still gets its answer too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self._node.create_timer(self._timeout_s, give_up, callback_group=self._group, clock=steady)
        try:
            response = await future
        finally:
            self._node.destroy_timer(timer)
        # Two lines: rclpy refuses another severity from the same one.
        if response.success:
            self._node.get_logger().info(f"snapshot: {response.message}")
        else:
            self._node.get_logger().warning(f"snapshot: {response.message}")
        return response

    def _finish(self, response: Trigger.Response) -> None:
        with self._lock:
            future, self._waiting = self._waiting, None
        if future is not None:
            future.set_result(response)


def write_snapshot(parent: Path, name: str, result: Result) -> Path:
    """Write `result` into the new folder parent/name, or name-2 and so on where there is one; return the folder.

    The folder appears when it is complete. Raises OSError or Metric3DError when something cannot be written; nothing
    is left behind then.
    """
    parent.mkdir(parents=True, exist_ok=True)
    names = [name, *(f"{name}-{i}" for i in range(2, _MOST_OF_ONE_STAMP))]
    folder = next((parent / each for each in names if not (parent / each).exists()), None)
    if folder is None:
        raise DataError(f"{parent} holds {_MOST_OF_ONE_STAMP} snapshots of the stamp {name}: remove some")
    growing = folder.with_name(f".{folder.name}.part")
    try:
        _write_files(growing, result)
        growing.rename(folder)
    except BaseException:
        shutil.rmtree(growing, ignore_errors=True)
        raise
    return folder


def _write_files(folder: Path, result: Result) -> None:
    folder.mkdir()
    write_rgb(folder / "image.png", result.rgb)
    write_depth(folder / "depth.npy", result.depth_m)
    write_depth(folder / "depth.png", result.depth_m)
    write_rgb(folder / "depth_color.png", depth_to_rgb(result.depth_m))
    np.save(folder / "normals.npy", result.normals)
    write_rgb(folder / "normals_color.png", normals_to_rgb(result.normals))
    if result.confidence is not None:
        np.save(folder / "confidence.npy", result.confidence)
    points = depth_to_points(result.cloud_depth_m, result.camera)
    frame_id = str(result.header.frame_id)
    write_ply(folder / "points.ply", points, rgb=result.rgb, normals=result.normals, comment=f"frame_id {frame_id}")
    write_calibration(folder / "camera_info.yaml", result.camera)
    about = f"# metric3d_ros {__version__}: the parameters of this snapshot, as params_file:=parameters.yaml takes them"
    parameters = parameters_to_yaml(type(result.parameters), values=flatten(result.parameters), about=about)
    (folder / "parameters.yaml").write_text(parameters, encoding="utf-8")
