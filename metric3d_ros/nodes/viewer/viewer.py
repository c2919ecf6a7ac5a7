"""Shows image, depth, normals and cloud topics of any robot live in Rerun, or records them into a file."""

import metric3d_ros.nodes.ros.require_ros  # noqa: F401, ends with one line without ROS 2

# isort: split
import argparse
import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import rclpy.qos
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from metric3d_ros.camera import Camera
from metric3d_ros.errors import CameraError, ConfigurationError, Metric3DError
from metric3d_ros.files.atomic import require_writable
from metric3d_ros.messages import cloud_to_points, compressed_to_rgb, image_to_array, image_to_depth, image_to_rgb
from metric3d_ros.messages.images import clean_depth
from metric3d_ros.messages.stamps import stamp_ns
from metric3d_ros.nodes.pipeline.scheduler import Scheduler
from metric3d_ros.nodes.ros.qos import create_input, subscribe_if_latched
from metric3d_ros.nodes.ros.qos_overrides import warn_of_unused_overrides
from metric3d_ros.nodes.ros.run_node import Stop, create_node
from metric3d_ros.nodes.ros.topic_names import COMPRESSED_SUFFIX, is_rectified_topic
from metric3d_ros.nodes.viewer.rerun_log import DEPTH, IMAGE, NORMALS, POINTS, RerunLog
from metric3d_ros.nodes.viewer.rerun_process import RerunProcess, ViewerError
from metric3d_ros.pictures import normals_to_rgb

READY = "watching"
_FLUSH_S = 2.0
_CLOSE_S = 15.0
_CLOSE_EMPTY_S = 1.5
"""For Rerun, which may still be starting, if nothing has come that could be lost."""
_QUIET_S = 10.0
_LOOK_AFTER_VIEWER_S = 0.5
_LOOK_FOR_LATCHED_S = 1.0
_WARN_EVERY_S = 10.0

# As sensor data: what is lost stays lost, and nothing waits behind anything.
_NEWEST = rclpy.qos.QoSProfile(
    history=rclpy.qos.HistoryPolicy.KEEP_LAST, depth=1, reliability=rclpy.qos.ReliabilityPolicy.BEST_EFFORT
)
_CAMERA_INFO = rclpy.qos.QoSProfile(
    history=rclpy.qos.HistoryPolicy.KEEP_LAST, depth=10, reliability=rclpy.qos.ReliabilityPolicy.BEST_EFFORT
)


@dataclass
class Kept:
    """What goes on while a node starts anew: the viewer, and the recording."""

    viewer: RerunProcess | None = None
    recording: RerunLog | None = None

    def close(self) -> None:
        """End what no node has taken over."""
        if self.recording is not None:
            with contextlib.suppress(RuntimeError):  # the viewer is gone
                if self.recording.flush(timeout_s=_FLUSH_S):
                    self.recording.close()
        if self.viewer is not None:
            self.viewer.close()


class View:
    """Subscribes to topics and shows the newest message of each; older ones that are not shown in time are dropped.

    Conversion and sending run in a thread of their own, so that messages are taken, and dropped, in time.
    """

    def __init__(self, options: argparse.Namespace, stop: Stop, *, kept: Kept) -> None:
        """Subscribe and show; after a restart, in the viewer and the recording of the node before.

        Args:
            kept: gets the viewer and the recording if the node starts anew.

        Raises ConfigurationError or ViewerError if nothing can be shown as asked.
        """
        self._options = options
        self._stop = stop
        self._kept = kept
        info_topics = {IMAGE: options.camera_info, DEPTH: options.depth_camera_info}
        self._info_topics = {kind: topic for kind, topic in info_topics.items() if topic}
        self._infos: dict[str, Any] = {}
        self._latched: set[str] = set()
        self._frame_id: str | None = None
        self._taken: dict[str, int] = {}
        self._dropped = 0
        self._is_rectified = bool(options.rectified)
        self._closing = threading.Event()
        if options.save is not None and kept.recording is None:
            require_writable(options.save, what=f"--save {options.save}")  # Rerun would only log it
        self._viewer, self._recording = kept.viewer, kept.recording
        kept.viewer = kept.recording = None
        if self._viewer is None and (options.web or options.save is None):
            self._viewer = RerunProcess(
                "web" if options.web else "window",
                host=options.host,
                grpc_port=options.port,
                web_port=options.web_port,
                memory_limit=options.memory,
            )
        try:
            self.node = create_node("view")
            self._log = self.node.get_logger()
            self._scheduler: Scheduler[str, Any, None] = Scheduler(
                prepare=self._open, work=self._show, on_error=self._on_error, name="rerun"
            )
            topics = self._subscribe()
            warn_of_unused_overrides(self.node)
        except BaseException:  # an interruption too; nobody else can close it
            Kept(self._viewer, self._recording).close()
            raise
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.node.create_timer(_LOOK_AFTER_VIEWER_S, self._look_after_viewer, clock=steady)
        self.node.create_timer(_LOOK_FOR_LATCHED_S, self._look_for_latched, clock=steady)
        self._quiet = self.node.create_timer(_QUIET_S, self._say_what_is_quiet, clock=steady)
        self._scheduler.start()
        where = [f"into {options.save}"] if options.save else []
        where += [f"at {self._viewer.page_url}"] if self._viewer and options.web else []
        self._log.info(f"{READY} {', '.join(topics)} {' and '.join(where) or 'in a window'}")

    def close(self) -> bool:
        """Finish the recording, or keep it for the next node; False if Rerun is still busy with it."""
        self._closing.set()
        done = self._scheduler.stop(timeout_s=_CLOSE_S if self._taken else _CLOSE_EMPTY_S)
        if done and self._stop.starts_anew:
            self._kept.viewer, self._kept.recording = self._viewer, self._recording
            return True
        if done and self._recording is not None:
            done = self._finish_recording(self._recording)
        if self._viewer is not None:
            self._viewer.close()
        counts = ", ".join(f"{count} from {name}" for name, count in self._taken.items()) or "nothing"
        self._log.info(f"took {counts}; {self._dropped} dropped because newer ones came")
        if self._viewer and not self._options.web and not self._viewer.has_ended:
            self._log.info("the window stays open: close it when you have seen enough")
        return done

    def _finish_recording(self, recording: RerunLog) -> bool:
        """Hand over what is left and close; False if the viewer does not take it, and closing would wait for it."""
        try:
            if not recording.flush(timeout_s=_FLUSH_S):
                return False
        except RuntimeError as error:
            if self._viewer is None or not self._viewer.has_ended:
                self._log.error(f"the last messages are lost: {error}")
        recording.close()
        return True

    def _open(self) -> None:
        if self._recording is not None:  # the node before has opened it
            return
        self._recording = RerunLog(
            grpc_url=self._viewer.grpc_url if self._viewer else None,
            file=self._options.save,
            max_points=self._options.max_points,
        )

    def _subscribe(self) -> list[str]:
        """Subscribe to every topic that has a name; return their full names."""
        options, names = self._options, []
        compressed = bool(options.image) and self.node.resolve_topic_name(options.image).endswith(COMPRESSED_SUFFIX)
        for kind, message_type, topic in (
            (IMAGE, CompressedImage if compressed else Image, options.image),
            (DEPTH, Image, options.depth),
            (NORMALS, Image, options.normals),
            (POINTS, PointCloud2, options.points),
        ):
            if topic:
                subscription = create_input(self.node, message_type, topic, partial(self._take, kind), profile=_NEWEST)
                names.append(str(subscription.topic_name))
        for kind, topic in self._info_topics.items():
            create_input(self.node, CameraInfo, topic, partial(self._infos.__setitem__, kind), profile=_CAMERA_INFO)
        if not names:
            raise ConfigurationError("every topic is '', expected at least one to watch")
        if options.rectified is None:
            self._is_rectified = is_rectified_topic(self.node.resolve_topic_name(options.image or options.depth))
        return names

    def _take(self, kind: str, message: Any) -> None:
        if kind not in self._taken:
            self._log.info(f"{kind} has come")
            self._quiet.cancel()
        self._taken[kind] = self._taken.get(kind, 0) + 1
        if self._scheduler.offer(kind, message) is not None:
            self._dropped += 1

    def _show(self, messages: Mapping[str, Any]) -> None:
        """Show the newest message of each kind; runs in the worker's thread."""
        assert self._recording is not None
        show: dict[str, Callable[[RerunLog, Any], None]] = {
            IMAGE: self._show_image,
            DEPTH: self._show_depth,
            NORMALS: self._show_normals,
            POINTS: self._show_points,
        }
        for kind, message in messages.items():
            # A stamp of zero means none was set.
            self._recording.set_time(stamp_ns(message) or self.node.get_clock().now().nanoseconds)
            try:
                show[kind](self._recording, message)
                self._compare_frame(kind, str(message.header.frame_id))
            except Metric3DError as error:
                self._log.warning(f"{kind} not shown: {error}", throttle_duration_sec=_WARN_EVERY_S)
        # Rerun would take more than it can pass on; waiting here lets the next messages be dropped instead.
        while not self._recording.flush(timeout_s=_FLUSH_S) and not self._closing.is_set():
            self._log.warning("the viewer takes nothing: dropping what comes", throttle_duration_sec=_WARN_EVERY_S)

    def _show_image(self, recording: RerunLog, message: Any) -> None:
        rgb = compressed_to_rgb(message) if hasattr(message, "format") else image_to_rgb(message)
        self._place(recording, IMAGE, rgb.shape[:2])
        recording.log_picture(IMAGE, rgb)

    def _show_depth(self, recording: RerunLog, message: Any) -> None:
        depth_m = clean_depth(image_to_depth(message))
        self._place(recording, DEPTH, depth_m.shape[:2])
        recording.log_depth(depth_m)

    def _show_normals(self, recording: RerunLog, message: Any) -> None:
        if message.encoding == "32FC3":
            recording.log_picture(NORMALS, normals_to_rgb(image_to_array(message).array.astype("f4")))
        else:
            recording.log_picture(NORMALS, image_to_rgb(message))

    def _show_points(self, recording: RerunLog, message: Any) -> None:
        recording.log_cloud(cloud_to_points(message))

    def _place(self, recording: RerunLog, kind: str, size_hw: tuple[int, ...]) -> None:
        """Give a picture the camera that fits it: its own, or else the other one's."""
        for owner in (kind, DEPTH if kind == IMAGE else IMAGE):
            info = self._infos.get(owner)
            if info is None:
                continue
            try:
                camera = Camera.from_camera_info(info, rectified=self._is_rectified)
            except CameraError as error:
                self._log.warning(f"{owner}'s camera_info: {error}", throttle_duration_sec=_WARN_EVERY_S)
                continue
            if camera.size_hw == size_hw:
                recording.log_camera(kind, camera.without_distortion())
                return

    def _compare_frame(self, kind: str, frame_id: str) -> None:
        """Warn, once, if topics are in different frames: they are shown as if these were one."""
        if self._frame_id is None:
            self._frame_id = frame_id
        elif frame_id != self._frame_id:
            self._log.warning(
                f"{kind} is in frame '{frame_id}', what came first in '{self._frame_id}': both are drawn at one "
                "origin, since tf is not used here",
                once=True,
            )

    def _say_what_is_quiet(self) -> None:
        self._log.warning(
            "nothing has come yet: see `ros2 topic list`, and name topics with --image, --depth, --normals and "
            "--points, or remap them after --ros-args"
        )

    def _look_for_latched(self) -> None:
        """Ask for the camera_info that was published once, before this node was there."""
        for kind, topic in self._info_topics.items():
            take = partial(self._infos.__setitem__, kind)
            if kind not in self._infos.keys() | self._latched and subscribe_if_latched(
                self.node, CameraInfo, topic, take
            ):
                self._latched.add(kind)

    def _look_after_viewer(self) -> None:
        """End when the viewer has: its user closed it, or it failed."""
        if self._viewer is None or not self._viewer.has_ended or self._stop.requested:
            return
        failure = self._viewer.failure()
        if failure is not None:
            self._stop.fail(failure)
        else:
            self._log.info("the window was closed")
            self._stop.finish()

    def _on_error(self, error: Exception) -> None:
        if self._viewer is None or not self._viewer.has_ended:  # else _look_after_viewer has the better message
            self._stop.fail(ViewerError(f"Rerun failed: {error}"))
