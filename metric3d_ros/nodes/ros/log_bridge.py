"""Forwards Python's logging, which the parts without ROS use, to the node's log."""

import logging
from typing import Any

_PACKAGE = "metric3d_ros"


class LogBridge(logging.Handler):
    """Hands records of this package on to a ROS logger, from INFO on."""

    def __init__(self, ros_logger: Any) -> None:
        super().__init__(logging.INFO)
        self._ros = ros_logger
        self._logger = logging.getLogger(_PACKAGE)
        self._level_before = self._logger.level

    def open(self) -> None:
        """Start to forward."""
        self._level_before = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)

    def close(self) -> None:
        """Stop to forward, and leave Python's logging as it was."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level_before)
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        # One call for each severity: rclpy remembers that of a line of code.
        if record.levelno >= logging.ERROR:
            self._ros.error(text)
        elif record.levelno >= logging.WARNING:
            self._ros.warning(text)
        else:
            self._ros.info(text)
