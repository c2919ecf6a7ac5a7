"""`metric3d view`: its options, which need neither ROS 2 nor Rerun, and its start, which needs both."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from metric3d_ros.command_line import require_numbers
from metric3d_ros.nodes.viewer.rerun_process import GRPC_PORT, LOOPBACK, WEB_PORT, ViewerError, explain_missing_rerun
from metric3d_ros.program import program

_MOST_PORT = 65_535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `metric3d view`."""
    topics = parser.add_argument_group("topics; each is optional, and '' leaves it out")
    for option, topic, words in (
        ("--image", "image", "Image, or CompressedImage if the name ends in /compressed"),
        ("--camera-info", "camera_info", "CameraInfo of the image"),
        ("--depth", "depth/image", "depth Image, 32FC1 metres or 16UC1 millimetres"),
        ("--depth-camera-info", "depth/camera_info", "CameraInfo of the depth image"),
        ("--normals", "normals/image", "Image of normals, 32FC3 or a picture"),
        ("--points", "points", "PointCloud2"),
    ):
        topics.add_argument(option, default=topic, metavar="TOPIC", help=f"{words} (default: {topic})")
    where = parser.add_argument_group("where to watch")
    where.add_argument(
        "--web", action="store_true", help="view in a browser, at the printed address, instead of a window"
    )
    where.add_argument(
        "--save", type=Path, metavar="FILE.rrd", help="record to a file instead of a window; can be combined with --web"
    )
    where.add_argument(
        "--host",
        default=LOOPBACK,
        help="address to listen on; 0.0.0.0 lets other machines connect (default: %(default)s)",
    )
    where.add_argument(
        "--port", type=int, default=GRPC_PORT, help="port for data, or another if it is in use (default: 9876)"
    )
    where.add_argument(
        "--web-port", type=int, default=WEB_PORT, help="port for the page, or another if it is in use (default: 9090)"
    )
    parser.add_argument(
        "--memory", default="1GiB", metavar="SIZE", help="memory limit of the viewer (default: %(default)s)"
    )
    parser.add_argument(
        "--max-points",
        type=int,
        default=500_000,
        metavar="N",
        help="reduce larger clouds to N points (default: 500000)",
    )
    parser.add_argument(
        "--rectified",
        action=argparse.BooleanOptionalAction,
        help="use P of camera_info, not K (default: if the image's topic has a rectified name, such as image_rect)",
    )
    parser.add_argument(
        "--ros-args", nargs=argparse.REMAINDER, default=[], help="everything after it goes to ROS; must come last"
    )


def run(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C, or until the window is closed; return the exit code.

    Raises ConfigurationError for a number that makes no sense, ViewerError if Rerun is missing.
    """
    require_numbers(args, "port", "web_port", least=0, most=_MOST_PORT)
    require_numbers(args, "max_points", least=1)
    import metric3d_ros.nodes.ros.require_ros  # noqa: F401, ends with one line without ROS 2

    missing = explain_missing_rerun()
    if missing is not None:
        raise ViewerError(missing)

    from metric3d_ros.nodes.ros.run_node import run_node
    from metric3d_ros.nodes.viewer.viewer import Kept, View

    argv = ["metric3d view", "--ros-args", *args.ros_args]
    with contextlib.closing(Kept()) as kept:
        return run_node("metric3d view", lambda _, stop: View(args, stop, kept=kept), argv=argv)


@program("view")
def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program of its own, as `ros2 run metric3d_ros view` does; return the exit code."""
    parser = argparse.ArgumentParser(prog="view", description="Watch image, depth, normals and cloud topics in Rerun.")
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
