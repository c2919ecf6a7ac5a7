"""A ROS logger for text that others had a part in: what they sent cannot look like a line of this node's log."""

from typing import Any

from rclpy.impl import rcutils_logger
from rclpy.impl.rcutils_logger import RcutilsLogger

from metric3d_ros.files.excerpts import printable


class _PrintableLogger(RcutilsLogger):
    def log(self, message: Any, severity: Any, **options: Any) -> bool:
        """Log as rclpy does, without letters that cannot be printed."""
        return bool(super().log(printable(str(message)), severity, **options))


def make_printable(logger: RcutilsLogger) -> RcutilsLogger:
    """Return a logger of the same name that logs `printable` text."""
    callers = getattr(rcutils_logger, "_internal_callers", None)
    if callers is None:
        return logger
    if __file__ not in callers:
        callers.append(__file__)  # or each line of the log would come from here, with the throttle of all others
    return _PrintableLogger(logger.name)
