"""`metric3d check-camera`: checks a calibration file or a camera_info topic and prints the findings."""

import argparse
from collections.abc import Iterator
from typing import Any

from metric3d_ros.camera import Camera, check_camera_info, fit_camera
from metric3d_ros.camera.calibration.files import read_calibration_file
from metric3d_ros.camera.calibration.urls import resolve_calibration
from metric3d_ros.command_line import parse_size, require_numbers
from metric3d_ros.errors import DataError
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.nodes.ros.topic_names import NAME_RULES, is_ros_name

_EXPECTED = "expected a calibration file, or a topic of sensor_msgs/CameraInfo such as /camera/camera_info"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d check-camera`."""
    parser.epilog = "The exit status is 0 if the checks find nothing, and 1 otherwise."
    parser.add_argument(
        "source",
        metavar="FILE|TOPIC",
        help="a calibration file of camera_calibration, OpenCV or Kalibr: a path, file:// or package:// URL (#cam1 at "
        "the end selects one of several cameras); or a topic of type sensor_msgs/CameraInfo",
    )
    parser.add_argument("--rectified", action="store_true", help="the images are rectified: use P, not K and D")
    parser.add_argument("--image-size", metavar="WxH", help="size of the images (default: that of the calibration)")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="how long to wait for a topic, s (default: 10)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the camera and the findings; return 1 if there is one. Raises Metric3DError if it is no camera."""
    require_numbers(args, "timeout", above=0, unit="seconds")
    size_wh = None if args.image_size is None else parse_size(args.image_size, option="--image-size WIDTHxHEIGHT")
    info = _read(args.source, timeout_s=args.timeout)
    camera = Camera.from_camera_info(info, rectified=args.rectified)
    for line in describe(camera, info, rectified=args.rectified):
        print(line)
    findings = [str(finding) for finding in check_camera_info(info, rectified=args.rectified)]
    for finding in findings:
        print(f"doubtful: {finding}")
    if not findings and (size_wh is None or size_wh == (camera.width, camera.height)):
        print("nothing doubtful")
    if size_wh is not None:
        fit_camera(camera, *size_wh, scale=False, remedy="set the parameter camera_info_scaling of depth_node to scale")
    return 1 if findings else 0


def describe(camera: Camera, info: Any, *, rectified: bool) -> Iterator[str]:
    """Yield a camera's size, intrinsics (px), lens, field of view and share of pixels without a ray, a line each.

    `info` is the sensor_msgs/CameraInfo that it was made of, or what a calibration file holds in that form.
    """
    uses_p = rectified and bool(info.p[0])
    yield f"image       {camera.width}x{camera.height}, calibrated at {info.width}x{info.height}"
    yield f"intrinsics  fx {camera.fx:.6g}, fy {camera.fy:.6g}, cx {camera.cx:.6g}, cy {camera.cy:.6g} px, from " + (
        "P: rectified images" if uses_p else "K"
    )
    coefficients = ", ".join(f"{value:g}" for value in camera.distortion)
    yield f"lens        {camera.distortion_model or 'no distortion'}" + (f" ({coefficients})" if coefficients else "")
    if not camera.distortion:
        yield f"view        {camera.hfov_deg:.4g} degrees wide"
    yield f"no ray      {100 * camera.share_without_ray():.1f} % of the pixels"


def _read(source: str, *, timeout_s: float) -> Any:
    path, _ = resolve_calibration(source)
    if path.is_dir():
        raise DataError(f"{shorten(str(path))} is a folder, {_EXPECTED}")
    if "://" in source or path.exists() or path.suffix:
        return read_calibration_file(source)
    if not is_ros_name(source):
        raise DataError(f"'{shorten(source)}' is no file, and can be no topic ({NAME_RULES}): {_EXPECTED}")
    # Loads rclpy, which a file does not need.
    from metric3d_ros.nodes.instruments.camera_info_client import receive_camera_info

    return receive_camera_info(source, timeout_s=timeout_s)
