"""Imported first by every node: one line if ROS 2 is missing, or cannot be used by this Python."""

import importlib.util

if importlib.util.find_spec("rclpy") is None:
    raise SystemExit(
        "metric3d_ros: rclpy cannot be imported: run `source /opt/ros/jazzy/setup.bash`, or if ROS 2 is not "
        "installed `pip install '.[ros]'` in the source folder"
    )
try:
    import rclpy  # noqa: F401, to find out whether that works
except ImportError as error:
    reason = " ".join(str(error).split())
    raise SystemExit(
        f"metric3d_ros: rclpy is installed and cannot be imported ({reason[:200]}): use the Python that this ROS 2 is "
        "for, and check that its libraries and enough memory are there"
    ) from None
