"""Imported first by every node: one line if ROS 2 is missing, a clean end if a signal comes during imports."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

_NODES = ("depth_node", "image_player", "view")
_PROGRAMS = {*_NODES, "view_command", *(f"metric3d_{node}" for node in _NODES)}

if importlib.util.find_spec("rclpy") is None:
    raise SystemExit(
        "metric3d_ros: rclpy cannot be imported: run `source /opt/ros/jazzy/setup.bash`, or if ROS 2 is not "
        "installed `pip install '.[ros]'` in the source folder"
    )

# Importing takes a second on a slow machine; `run_node` sees to signals afterwards. The handlers of a program that
# merely imports a node stay as they are.
if Path(*sys.argv[:1]).stem in _PROGRAMS:
    for _number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_number, lambda *_: os._exit(0))
