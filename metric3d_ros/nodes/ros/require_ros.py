"""Imported first by every node: one line if ROS 2 is missing."""

import importlib.util

if importlib.util.find_spec("rclpy") is None:
    raise SystemExit(
        "metric3d_ros: rclpy cannot be imported: run `source /opt/ros/jazzy/setup.bash`, or if ROS 2 is not "
        "installed `pip install '.[ros]'` in the source folder"
    )
