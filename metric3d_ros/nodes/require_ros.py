"""Imported first by every node, so that a machine without ROS 2 gets one line that helps instead of a traceback."""

import importlib.util

if importlib.util.find_spec("rclpy") is None:
    raise SystemExit(
        "metric3d_ros: rclpy cannot be imported: run `source /opt/ros/jazzy/setup.bash`, or where ROS 2 is not "
        "installed `pip install 'metric3d_ros[ros]'`"
    )
