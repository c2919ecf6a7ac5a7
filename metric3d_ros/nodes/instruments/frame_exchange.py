"""FrameExchange: a depth_node of its own, which gets one image after another and answers each before the next."""

import metric3d_ros.nodes.ros.require_ros  # noqa: F401, ends with one line without ROS 2

# isort: split
import contextlib
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import rclpy
import sensor_msgs.msg
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from metric3d_ros.camera import Camera
from metric3d_ros.errors import Metric3DError
from metric3d_ros.messages import array_to_image, camera_to_camera_info, points_to_cloud
from metric3d_ros.messages.stamps import header_stamp_ns, stamp_ns
from metric3d_ros.nodes.instruments.node_process import running_node
from metric3d_ros.nodes.outlet.message_classes import message_class
from metric3d_ros.nodes.outlet.scale_topic import SCALE_TOPIC
from metric3d_ros.nodes.outlet.timing_topic import TIMING_TOPIC
from metric3d_ros.nodes.transport.large_messages import prepare_for_large_messages
from metric3d_ros.outputs.table import OUTPUTS

TIMING, SCALE = (topic.replace("~", "depth_node") for topic in (TIMING_TOPIC, SCALE_TOPIC))
"""Topics of the node that are always listened to."""
RANGES = "ranges"
"""Topic of ranges of another sensor, points in the camera's optical frame; the node gets them as `scale.topic`."""

_FRAME_ID = "camera_optical_frame"
_FIRST_STAMP_S = 1_000.0
_DOMAINS = range(215, 233)
_TURN_S = 0.02
# Outputs of one frame are sent before its times, but may arrive after them: until this many turns bring nothing.
_QUIET_TURNS = 5

Values = Mapping[str, Any]


class FrameExchange:
    """A context manager that runs the node as a process in its own ROS domain on this machine."""

    def __init__(self, *, parameters: Values, topics: Sequence[str], ranges: bool = False) -> None:
        """Prepare.

        Args:
            parameters: of depth_node, by name.
            topics: outputs to listen to.
            ranges: whether `exchange` also sends ranges, by which the scale is measured.
        """
        self._parameters = dict(parameters)
        self._kinds = {output.topic: message_class(output) for output in OUTPUTS if output.topic in topics}
        self._heard: dict[str, dict[int, Any]] = {topic: {} for topic in (*self._kinds, TIMING, SCALE)}
        if ranges:
            self._parameters |= {"scale.topic": RANGES, "scale.topic_type": "point_cloud", "scale.transform": [0.0] * 6}

    def __enter__(self) -> "FrameExchange":
        os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().choice(_DOMAINS))
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        arguments = [word for name, value in self._parameters.items() for word in ("-p", f"{name}:={_yaml(value)}")]
        with contextlib.ExitStack() as stack:
            self._process = stack.enter_context(running_node(arguments))
            self._connect(stack)
            self._stack = stack.pop_all()
        return self

    def _connect(self, stack: contextlib.ExitStack) -> None:
        prepare_for_large_messages(rmw_implementation=get_rmw_implementation_identifier())
        self._context = Context()
        rclpy.init(context=self._context)
        stack.callback(rclpy.shutdown, context=self._context)
        self._node = Node("frame_exchange", context=self._context)
        stack.callback(self._node.destroy_node)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        stack.callback(self._executor.remove_node, self._node)
        reliable = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        self._images = self._node.create_publisher(Image, "image", reliable)
        self._infos = self._node.create_publisher(CameraInfo, "camera_info", reliable)
        self._ranges = self._node.create_publisher(PointCloud2, RANGES, reliable)
        for topic in self._heard:
            kind = self._kinds.get(topic, DiagnosticArray)
            self._node.create_subscription(kind, topic, partial(self._hear, topic), reliable)

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def exchange(
        self,
        rgb: npt.NDArray[np.uint8],
        camera: Camera,
        at_s: float,
        *,
        ranges: npt.NDArray[np.float32] | None = None,
        timeout_s: float = 120.0,
    ) -> dict[str, Any]:
        """Send an image (H, W, 3) of the time `at_s`, and return the messages that came of it, by topic.

        `ranges` (N, 3) are points in the camera's optical frame. Topics on which nothing was published are left out. Of
        `TIMING` and `SCALE` there are the values, by name.
        Raises Metric3DError if the node does not answer.
        """
        stamp = _FIRST_STAMP_S + at_s
        header = Header(frame_id=_FRAME_ID)
        header.stamp.sec, header.stamp.nanosec = int(stamp), round(stamp % 1 * 1e9)
        deadline_s = time.monotonic() + timeout_s
        while TIMING not in self._answers(header):
            if time.monotonic() > deadline_s or self._process.poll() is not None:
                raise Metric3DError(f"depth_node did not answer within {timeout_s:g} s")
            if ranges is not None:
                self._ranges.publish(points_to_cloud(ranges, header=header, sensor_msgs=sensor_msgs.msg))
                self._executor.spin_once(timeout_sec=_TURN_S)
            self._infos.publish(camera_to_camera_info(camera, header=header, sensor_msgs=sensor_msgs.msg))
            self._images.publish(array_to_image(rgb, "rgb8", header=header, sensor_msgs=sensor_msgs.msg))
            # Sent again only before both ends have found each other: a network may take long.
            wait_s = 60.0 if any(self._heard.values()) else 0.5
            self._spin_until(lambda: TIMING in self._answers(header), timeout_s=wait_s)
        self._spin_until_quiet()
        answers = self._answers(header)
        return {topic: _values(each) if topic in (TIMING, SCALE) else each for topic, each in answers.items()}

    def _answers(self, header: Any) -> dict[str, Any]:
        of = header_stamp_ns(header)
        return {topic: heard[of] for topic, heard in self._heard.items() if of in heard}

    def _hear(self, topic: str, message: Any) -> None:
        self._heard[topic][stamp_ns(message)] = message

    def _spin_until_quiet(self) -> None:
        quiet = 0
        while quiet < _QUIET_TURNS:
            before = self._count()
            self._executor.spin_once(timeout_sec=_TURN_S)
            quiet = quiet + 1 if self._count() == before else 0

    def _count(self) -> int:
        return sum(map(len, self._heard.values()))

    def _spin_until(self, done: Callable[[], bool], *, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not done() and time.monotonic() < deadline_s:
            self._executor.spin_once(timeout_sec=_TURN_S)


def _values(message: DiagnosticArray) -> dict[str, str]:
    return {each.key: each.value for each in message.status[0].values}


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
