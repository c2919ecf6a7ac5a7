"""Everything that depth_node publishes for an image: one entry for each topic says what it needs and how it is made."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import sensor_msgs.msg
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from metric3d_ros.camera import Camera
from metric3d_ros.estimator import CONFIDENCE, DEPTH, NORMALS, Estimate
from metric3d_ros.geometry import depth_to_points, normals_from_depth
from metric3d_ros.messages import array_to_image, camera_to_camera_info, depth_to_image, points_to_cloud
from metric3d_ros.nodes.parameters import DepthParameters
from metric3d_ros.nodes.qos import OUTPUT, create_output
from metric3d_ros.pictures import depth_to_rgb, normals_to_rgb

Float32Array = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """One image with what the network says of it; what several outputs share is computed once."""

    header: Any
    """The image's own header: every output carries it."""
    rgb: npt.NDArray[np.uint8]
    """(H, W, 3)."""
    camera: Camera
    camera_info: Any
    """The image's CameraInfo message; None where the camera comes from parameters."""
    estimate: Estimate | None
    """None when no output that is wanted needs one."""
    parameters: DepthParameters

    @property
    def depth_m(self) -> Float32Array:
        """(H, W) metres, NaN where invalid."""
        assert self.estimate is not None, "an output that uses depth must say that it needs it"
        return self.estimate.depth_m

    @cached_property
    def normals(self) -> Float32Array:
        """(H, W, 3) unit vectors that face the camera; from depth where the network has none."""
        assert self.estimate is not None, "an output that uses normals must say that it needs them"
        if self.estimate.normals is not None:
            return self.estimate.normals
        return normals_from_depth(self.depth_m, self.camera)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """One topic."""

    topic: str
    """Relative to the node's namespace."""
    message_type: Any
    description: str
    """What it holds, with its unit, for the README."""
    needs: Callable[[DepthParameters], frozenset[str]]
    """The estimator's outputs that it is made from; none at all for what needs no inference."""
    build: Callable[[Result], Any]
    """Makes the message; None where this model cannot make it."""


def _needs(*outputs: str) -> Callable[[DepthParameters], frozenset[str]]:
    needed = frozenset(outputs)
    return lambda _: needed


def _depth_image(result: Result) -> Any:
    return depth_to_image(result.depth_m, header=result.header, sensor_msgs=sensor_msgs.msg)


def _depth_camera_info(result: Result) -> Any:
    if result.camera_info is None:
        return camera_to_camera_info(result.camera, header=result.header, sensor_msgs=sensor_msgs.msg)
    # The depth image has the size, lens and rectification of the image, binning and region of interest included.
    info = copy.copy(result.camera_info)
    info.header = result.header
    return info


def _depth_colour(result: Result) -> Any:
    return array_to_image(depth_to_rgb(result.depth_m), "rgb8", header=result.header, sensor_msgs=sensor_msgs.msg)


def _normals_image(result: Result) -> Any:
    return array_to_image(result.normals, "32FC3", header=result.header, sensor_msgs=sensor_msgs.msg)


def _normals_colour(result: Result) -> Any:
    return array_to_image(normals_to_rgb(result.normals), "rgb8", header=result.header, sensor_msgs=sensor_msgs.msg)


def _confidence_image(result: Result) -> Any:
    assert result.estimate is not None
    if result.estimate.confidence is None:
        return None
    return array_to_image(result.estimate.confidence, "32FC1", header=result.header, sensor_msgs=sensor_msgs.msg)


def _points(result: Result) -> Any:
    points = depth_to_points(result.depth_m, result.camera)
    return points_to_cloud(
        points, header=result.header, sensor_msgs=sensor_msgs.msg, rgb=result.rgb, normals=result.normals
    )


OUTPUTS: Sequence[Output] = (
    Output(
        topic="depth/image",
        message_type=Image,
        description="32FC1, metres along the optical axis, NaN where invalid",
        needs=_needs(DEPTH),
        build=_depth_image,
    ),
    Output(
        topic="depth/camera_info",
        message_type=CameraInfo,
        description="the camera of the depth image: the image's own",
        needs=_needs(),
        build=_depth_camera_info,
    ),
    Output(
        topic="depth/image_color",
        message_type=Image,
        description="rgb8, depth for people: near is warm, far is cold, invalid is black",
        needs=_needs(DEPTH),
        build=_depth_colour,
    ),
    Output(
        topic="normals/image",
        message_type=Image,
        description="32FC3, unit vectors in the optical frame that face the camera (a wall ahead is 0, 0, -1)",
        needs=_needs(DEPTH, NORMALS),
        build=_normals_image,
    ),
    Output(
        topic="normals/image_color",
        message_type=Image,
        description="rgb8, normals for people: (n + 1) / 2 with x as red, y as green, z as blue",
        needs=_needs(DEPTH, NORMALS),
        build=_normals_colour,
    ),
    Output(
        topic="confidence/image",
        message_type=Image,
        description="32FC1, expected accuracy of depth, about 0 to 1",
        needs=_needs(DEPTH, CONFIDENCE),
        build=_confidence_image,
    ),
    Output(
        topic="points",
        message_type=PointCloud2,
        description="organised cloud in metres, NaN where invalid: x y z, rgb, normal_x normal_y normal_z",
        needs=_needs(DEPTH, NORMALS),
        build=_points,
    ),
)


class OutputPublishers:
    """The publishers of one camera's outputs; knows which of them anybody wants."""

    def __init__(self, node: Node, *, prefix: str = "", profile: QoSProfile = OUTPUT) -> None:
        """Advertise every output with the quality `profile`; `prefix` goes before each topic, such as "front/"."""
        self._publishers: dict[str, Publisher] = {
            output.topic: create_output(node, output.message_type, prefix + output.topic, profile=profile)
            for output in OUTPUTS
        }

    def wanted(self) -> list[Output]:
        """Return the outputs that somebody has subscribed to."""
        return [output for output in OUTPUTS if self._publishers[output.topic].get_subscription_count()]

    def publish(self, outputs: Sequence[Output], result: Result) -> int:
        """Build and publish `outputs`; return how many messages went out."""
        published = 0
        for output in outputs:
            message = output.build(result)
            if message is not None:
                self._publishers[output.topic].publish(message)
                published += 1
        return published
