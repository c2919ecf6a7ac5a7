"""Everything that depth_node publishes for an image: one entry for each topic says what it needs and how it is made."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import sensor_msgs.msg
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from std_msgs.msg import Header

from metric3d_ros.camera import described_size_hw
from metric3d_ros.estimation.estimator import CONFIDENCE, DEPTH, NORMALS
from metric3d_ros.geometry import depth_to_points, depth_to_scan, voxel_means
from metric3d_ros.messages import (
    NewCloud,
    array_to_image,
    camera_to_camera_info,
    depth_to_compressed_depth,
    depth_to_image,
    points_to_cloud,
    ranges_to_scan,
    resize_camera_info,
)
from metric3d_ros.nodes.intake.pairing import stamp_ns
from metric3d_ros.nodes.outlet.results import Result
from metric3d_ros.nodes.parameters.depth import DepthParameters
from metric3d_ros.nodes.parameters.outputs import INFINITE
from metric3d_ros.pictures import DepthColours, depth_to_rgb, normals_to_rgb

SCAN = "scan"
_NOTHING = frozenset[str]()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """One topic."""

    topic: str
    """Relative to the node's namespace."""
    transport_of: str = ""
    """The topic whose form for transport this one is: it follows when that one is remapped."""
    switch: str
    """Its field in `SwitchParameters`."""
    message_type: Any
    description: str
    """What it holds, with its unit, for the README."""
    needs: Callable[[DepthParameters], frozenset[str]]
    """The estimator's outputs that it is made from; none at all for what needs no inference."""
    build: Callable[[Result], Any]
    """Makes the message; None where this model cannot make it."""


def _needs_nothing(_: DepthParameters) -> frozenset[str]:
    return _NOTHING


def _needs_normals(parameters: DepthParameters) -> frozenset[str]:
    return _needs_depth(parameters) | {NORMALS}


def _needs_confidence(_: DepthParameters) -> frozenset[str]:
    return frozenset({DEPTH, CONFIDENCE})


def _needs_depth(parameters: DepthParameters) -> frozenset[str]:
    return frozenset({DEPTH, CONFIDENCE} if parameters.depth.min_confidence else {DEPTH})


def _needs_points(parameters: DepthParameters) -> frozenset[str]:
    needed = _needs_depth(parameters)
    if parameters.points.min_confidence:
        needed |= {CONFIDENCE}
    return needed | {NORMALS} if parameters.points.with_normals else needed


def _depth_image(result: Result) -> Any:
    options = result.parameters.depth
    return depth_to_image(
        result.far_depth_m,
        header=result.header,
        sensor_msgs=sensor_msgs.msg,
        encoding=cast(Any, options.encoding),
        max_depth_m=options.max_depth_m,
        far="inf" if options.far == INFINITE else "nan",
    )


def _compressed_depth(result: Result) -> Any:
    options, encoding = result.parameters.compressed_depth, result.parameters.depth.encoding
    return depth_to_compressed_depth(
        result.depth_m,
        header=result.header,
        sensor_msgs=sensor_msgs.msg,
        encoding=cast(Any, encoding),
        # Like the plugin: only inverse depth has a limit.
        max_depth_m=options.max_m if encoding == "32FC1" else float("inf"),
        quantization=options.quantization,
        png_level=options.png_level,
    )


def _depth_camera_info(result: Result) -> Any:
    if result.camera_info is None:
        return camera_to_camera_info(result.camera, header=result.header, sensor_msgs=sensor_msgs.msg)
    if described_size_hw(result.camera_info) != result.camera.size_hw:
        return resize_camera_info(result.camera_info, result.camera.size_hw, header=result.header)
    # The depth image has the size, lens and rectification of the image, binning and region of interest included.
    info = copy.copy(result.camera_info)
    info.header = result.header
    return info


def _depth_colour(result: Result) -> Any:
    options = result.parameters.color
    near_m, far_m = options.near_m, options.far_m
    if not far_m:
        near_m, far_m = result.depth_range.follow(result.depth_m, stamp_ns=stamp_ns(result), of=result.header.frame_id)
    colours = DepthColours(near_m=near_m, far_m=far_m, colour_map=options.map, scale=cast(Any, options.scale))
    return array_to_image(
        depth_to_rgb(result.depth_m, colours), "rgb8", header=result.header, sensor_msgs=sensor_msgs.msg
    )


def _normals_image(result: Result) -> Any:
    return array_to_image(result.normals, "32FC3", header=result.header, sensor_msgs=sensor_msgs.msg)


def _normals_colour(result: Result) -> Any:
    return array_to_image(normals_to_rgb(result.normals), "rgb8", header=result.header, sensor_msgs=sensor_msgs.msg)


def _confidence_image(result: Result) -> Any:
    if result.confidence is None:
        return None
    return array_to_image(result.confidence, "32FC1", header=result.header, sensor_msgs=sensor_msgs.msg)


def _points(result: Result) -> Any:
    options = result.parameters.points
    every = (slice(None, None, options.stride),) * 2
    if options.organized and not options.voxel_m:
        return _organized_points(result, every)
    points = depth_to_points(result.cloud_depth_m, result.camera, stride=options.stride)
    attributes: dict[str, npt.NDArray[Any]] = {}
    if options.with_colour:
        attributes["rgb"] = result.rgb[every]
    if options.with_normals:
        attributes["normals"] = result.normals[every]
        if options.voxel_m:  # points without a normal leave that of their cube to the others
            attributes["normals"] = np.nan_to_num(attributes["normals"])
    if options.voxel_m:
        points, means = voxel_means(points, size_m=options.voxel_m, attributes=tuple(attributes.values()))
        attributes = dict(zip(attributes, means, strict=True))
        if options.with_normals:
            with np.errstate(invalid="ignore", divide="ignore"):
                attributes["normals"] /= np.linalg.norm(attributes["normals"], axis=-1, keepdims=True)
    return points_to_cloud(
        points, header=result.header, sensor_msgs=sensor_msgs.msg, organized=options.organized, **attributes
    )


def _organized_points(result: Result, every: tuple[slice, slice]) -> Any:
    """Write an organised cloud straight into its message's memory."""
    options = result.parameters.points
    rgb = result.rgb[every]
    cloud = NewCloud(*rgb.shape[:2], with_rgb=options.with_colour, with_normals=options.with_normals)
    colours = rgb if options.with_colour else None
    normals = result.normals[every] if options.with_normals else None
    for rows in cloud.row_slices():
        depth_to_points(result.cloud_depth_m, result.camera, stride=options.stride, rows=rows, out=cloud.points[rows])
        cloud.fill(rows, rgb=colours, normals=normals)
        cloud.drop_normals_of_invalid(rows)
    return cloud.to_message(header=result.header, sensor_msgs=sensor_msgs.msg)


def _scan(result: Result) -> Any:
    options, (min_range_m, max_range_m) = result.parameters.scan, result.parameters.scan_limits_m
    # What is too far for the depth image is known to be no nearer than that, and the scan reaches no farther.
    scan = depth_to_scan(
        result.far_depth_m,
        result.camera,
        band_px=options.band_px,
        max_offset_m=options.max_offset_m or float("inf"),
        min_range_m=min_range_m,
        max_range_m=max_range_m,
    )
    return ranges_to_scan(
        scan.ranges_m,
        angle_min_rad=scan.angle_min_rad,
        angle_increment_rad=scan.angle_increment_rad,
        min_range_m=min_range_m,
        max_range_m=max_range_m,
        header=Header(stamp=result.header.stamp, frame_id=options.frame_id),
        sensor_msgs=sensor_msgs.msg,
    )


DEPTH_TOPIC = "depth/image"

OUTPUTS: Sequence[Output] = (
    Output(
        topic=DEPTH_TOPIC,
        switch="depth",
        message_type=Image,
        description="32FC1, metres along the optical axis, NaN where invalid; or 16UC1, millimetres, 0 where invalid",
        needs=_needs_depth,
        build=_depth_image,
    ),
    Output(
        topic="depth/camera_info",
        switch="depth",
        message_type=CameraInfo,
        description="the camera of the depth image: the image's own, pixels",
        needs=_needs_nothing,
        build=_depth_camera_info,
    ),
    Output(
        topic="normals/image",
        switch="normals",
        message_type=Image,
        description="32FC3, unit vectors in the optical frame that face the camera (a wall ahead is 0, 0, -1), NaN "
        "where depth is invalid",
        needs=_needs_normals,
        build=_normals_image,
    ),
    Output(
        topic="points",
        switch="points",
        message_type=PointCloud2,
        description="x y z in metres in the optical frame, rgb, normal_x normal_y normal_z; organised, NaN where "
        "invalid, the normal too",
        needs=_needs_points,
        build=_points,
    ),
    Output(
        topic="confidence/image",
        switch="confidence",
        message_type=Image,
        description="32FC1, expected accuracy of depth, 0 to 1, 0 where depth is invalid",
        needs=_needs_confidence,
        build=_confidence_image,
    ),
    Output(
        topic="depth/image_color",
        switch="depth_color",
        message_type=Image,
        description="rgb8, depth for people: near is warm, far is cold, invalid is dark gray",
        needs=_needs_depth,
        build=_depth_colour,
    ),
    Output(
        topic="normals/image_color",
        switch="normals_color",
        message_type=Image,
        description="rgb8, normals for people: (n + 1) / 2 with x as red, y as green, z as blue",
        needs=_needs_normals,
        build=_normals_colour,
    ),
    Output(
        topic=SCAN,
        switch="scan",
        message_type=LaserScan,
        description="metres and radians, the nearest thing in each direction at the camera's height",
        needs=_needs_depth,
        build=_scan,
    ),
    # Last: its PNG takes longer than anything before it, which need not wait.
    Output(
        topic="depth/image/compressedDepth",
        transport_of=DEPTH_TOPIC,
        switch="compressed_depth",
        message_type=CompressedImage,
        description="depth as image_transport's compressedDepth plugin sends it: a 16-bit PNG",
        needs=_needs_depth,
        build=_compressed_depth,
    ),
)
"""In the order in which they are begun: measurements first, the largest of them early, then pictures for people."""
