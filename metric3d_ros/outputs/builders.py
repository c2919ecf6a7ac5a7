"""Builds the message of each output from a result; `sensor_msgs` has the message classes, as in `messages`."""

import copy
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import described_size_hw
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.geometry import NoGround, Scan, depth_to_points, depth_to_scan, obstacles_to_scan, voxel_means
from metric3d_ros.messages import (
    NewCloud,
    array_to_image,
    camera_to_camera_info,
    depth_to_compressed_depth,
    depth_to_image,
    ground_to_pose,
    normals_to_arrows,
    points_to_cloud,
    ranges_to_scan,
    resize_camera_info,
)
from metric3d_ros.outputs.options import INFINITE, OBSTACLES, RECTIFIED
from metric3d_ros.outputs.result import Result
from metric3d_ros.pictures import depth_to_rgb, normals_to_rgb


def build_depth_image(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return depth/image."""
    options = result.parameters.depth
    return depth_to_image(
        result.as_published(result.far_depth_m),
        header=result.header,
        sensor_msgs=sensor_msgs,
        encoding=cast(Any, options.encoding),
        max_depth_m=options.max_depth_m,
        far="inf" if options.far == INFINITE else "nan",
    )


def build_compressed_depth(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return depth/image/compressedDepth."""
    options, encoding = result.parameters.compressed_depth, result.parameters.depth.encoding
    return depth_to_compressed_depth(
        result.as_published(result.depth_m),
        header=result.header,
        sensor_msgs=sensor_msgs,
        encoding=cast(Any, encoding),
        # Like the plugin: only inverse depth has a limit.
        max_depth_m=options.max_m if encoding == "32FC1" else float("inf"),
        quantization=options.quantization,
        png_level=options.png_level,
    )


def build_depth_camera_info(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return depth/camera_info."""
    if result.camera_info is None:
        return camera_to_camera_info(result.camera, header=result.header, sensor_msgs=sensor_msgs)
    if described_size_hw(result.camera_info) != result.camera.size_hw:
        return resize_camera_info(result.camera_info, result.camera.size_hw, header=result.header)
    # The depth image has the size, lens and rectification of the image, binning and region of interest included.
    info = copy.copy(result.camera_info)
    info.header = result.header
    return info


def build_rectified_image(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return rectified/image_rect; None if outputs have the raw image's pixels."""
    if result.parameters.outputs_in != RECTIFIED:
        return None
    return array_to_image(result.rgb, "rgb8", header=result.header, sensor_msgs=sensor_msgs)


def build_rectified_camera_info(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return rectified/camera_info; None if outputs have the raw image's pixels."""
    return build_depth_camera_info(result, sensor_msgs) if result.parameters.outputs_in == RECTIFIED else None


def build_depth_colour(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return depth/image_color."""
    colours = depth_to_rgb(result.depth_m, result.depth_colours)
    return array_to_image(colours, "rgb8", header=result.header, sensor_msgs=sensor_msgs)


def build_normals_image(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return normals/image."""
    return array_to_image(result.normals, "32FC3", header=result.header, sensor_msgs=sensor_msgs)


def build_normals_colour(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return normals/image_color."""
    return array_to_image(normals_to_rgb(result.normals), "rgb8", header=result.header, sensor_msgs=sensor_msgs)


def build_confidence_image(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return confidence/image; None if the model gives no confidence."""
    if result.confidence is None:
        return None
    return array_to_image(result.confidence, "32FC1", header=result.header, sensor_msgs=sensor_msgs)


def build_normals_arrows(result: Result[Any], classes: Any) -> Any:
    """Return normals/arrows."""
    options = result.parameters.normals
    stride = options.arrow_stride
    points = depth_to_points(result.cloud_depth_m, result.camera, stride=stride)
    return normals_to_arrows(
        points,
        result.normals[::stride, ::stride],
        length_m=options.arrow_length_m,
        header=result.header,
        classes=classes,
    )


def build_points(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return points."""
    options = result.parameters.points
    every = (slice(None, None, options.stride),) * 2
    if options.organized and not options.voxel_m:
        return _organized_points(result, sensor_msgs, every)
    points = depth_to_points(result.cloud_depth_m, result.camera, stride=options.stride)
    attributes: dict[str, npt.NDArray[Any]] = {}
    if options.with_colour:
        attributes["rgb"] = result.rgb[every]
    if options.with_normals:
        attributes["normals"] = result.normals[every]
        if options.voxel_m:  # points without a normal leave that of their cube to the others
            attributes["normals"] = np.nan_to_num(attributes["normals"])
    if options.with_confidence:
        attributes["confidence"] = _confidence(result)[every][..., None]
    if options.voxel_m:
        points, means = voxel_means(points, size_m=options.voxel_m, attributes=tuple(attributes.values()))
        attributes = dict(zip(attributes, means, strict=True))
        if options.with_normals:
            with np.errstate(invalid="ignore", divide="ignore"):
                attributes["normals"] /= np.linalg.norm(attributes["normals"], axis=-1, keepdims=True)
    if options.with_confidence:
        attributes["confidence"] = attributes["confidence"][..., 0]
    return points_to_cloud(
        points, header=result.header, sensor_msgs=sensor_msgs, organized=options.organized, **attributes
    )


def _confidence(result: Result[Any]) -> npt.NDArray[np.float32]:
    if result.confidence is None:
        raise ConfigurationError(
            f"points.fields is {result.parameters.points.fields}, but the model gives no confidence: choose fields "
            "without it"
        )
    return np.asarray(result.confidence, np.float32)


def _organized_points(result: Result[Any], sensor_msgs: Any, every: tuple[slice, slice]) -> Any:
    """Write an organised cloud straight into its message's memory."""
    options = result.parameters.points
    rgb = result.rgb[every]
    cloud = NewCloud(
        *rgb.shape[:2],
        with_rgb=options.with_colour,
        with_normals=options.with_normals,
        with_confidence=options.with_confidence,
    )
    colours = rgb if options.with_colour else None
    normals = result.normals[every] if options.with_normals else None
    confidence = _confidence(result)[every] if options.with_confidence else None
    for rows in cloud.row_slices():
        depth_to_points(result.cloud_depth_m, result.camera, stride=options.stride, rows=rows, out=cloud.points[rows])
        cloud.fill(rows, rgb=colours, normals=normals, confidence=confidence)
        cloud.clear_invalid(rows)
    return cloud.to_message(header=result.header, sensor_msgs=sensor_msgs)


def build_ground(result: Result[Any], classes: Any) -> Any:
    """Return ground/plane; None if no ground is seen."""
    if isinstance(result.ground, NoGround):
        return None
    return ground_to_pose(result.ground, header=result.header, classes=classes)


def build_obstacles(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return points/obstacles; None if no ground is seen, for then nothing stands on it."""
    if result.obstacles is None:
        return None
    points, are_obstacles = result.obstacles
    stride = result.parameters.obstacles.stride
    confidence = None
    if result.parameters.points.with_confidence:
        confidence = _confidence(result)[::stride, ::stride][are_obstacles]
    return points_to_cloud(points[are_obstacles], header=result.header, sensor_msgs=sensor_msgs, confidence=confidence)


def _obstacle_scan(result: Result[Any]) -> Scan | None:
    seen = result.find_far_obstacles()
    if seen is None or isinstance(result.ground, NoGround):
        return None
    (points, are_obstacles, trusted), (min_range_m, max_range_m) = seen, result.parameters.scan_limits_m
    if not (np.isfinite(points[..., 0]) & trusted).any():
        return None
    return obstacles_to_scan(
        points,
        are_obstacles,
        result.ground,
        options=result.parameters.obstacles.options,
        trusted=trusted,
        min_range_m=min_range_m,
        max_range_m=max_range_m,
    )


def build_scan(result: Result[Any], sensor_msgs: Any) -> Any:
    """Return scan; None if it is made from obstacles and no ground is seen."""
    options, (min_range_m, max_range_m) = result.parameters.scan, result.parameters.scan_limits_m
    # What is too far for the depth image is known to be no nearer than that, and the scan reaches no farther.
    scan = (
        _obstacle_scan(result)
        if options.source == OBSTACLES
        else depth_to_scan(
            result.far_depth_m,
            result.camera,
            rotate_deg=result.parameters.rotate,
            band_px=options.band_px,
            max_offset_m=options.max_offset_m or float("inf"),
            min_range_m=min_range_m,
            max_range_m=max_range_m,
        )
    )
    if scan is None:
        return None
    return ranges_to_scan(
        scan.ranges_m,
        angle_min_rad=scan.angle_min_rad,
        angle_increment_rad=scan.angle_increment_rad,
        min_range_m=min_range_m,
        max_range_m=scan.max_range_m,
        header=type(result.header)(stamp=result.header.stamp, frame_id=options.frame_id),
        sensor_msgs=sensor_msgs,
    )
