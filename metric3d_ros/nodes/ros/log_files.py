"""Whether ROS 2 can write its log files; without a place for them rclpy.init() fails, though logs go to topics too."""

import os
from collections.abc import Mapping
from pathlib import Path

from metric3d_ros.files.paths import user_path

WITHOUT_FILES = ("--ros-args", "--disable-external-lib-logs")
"""Arguments that keep ROS 2 from writing log files."""


def explain_missing_log_files(environment: Mapping[str, str] = os.environ) -> str:
    """Return why no log file can be written, and the remedy; "" if one can."""
    folder = _log_folder(environment)
    if folder is None:
        return "there are no log files: HOME is not set; set ROS_LOG_DIR for them"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"there are no log files: {folder} cannot be made ({error.strerror}); set ROS_LOG_DIR for them"
    if not os.access(folder, os.W_OK):
        return f"there are no log files: {folder} cannot be written; set ROS_LOG_DIR for them"
    return ""


def _log_folder(environment: Mapping[str, str]) -> Path | None:
    """Return where ROS 2 writes its log files; None if nothing names a place."""
    if environment.get("ROS_LOG_DIR"):
        return user_path(environment["ROS_LOG_DIR"])
    if environment.get("ROS_HOME"):
        return user_path(environment["ROS_HOME"]) / "log"
    return Path(environment["HOME"]) / ".ros" / "log" if environment.get("HOME") else None
