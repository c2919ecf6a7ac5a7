"""The classes of the outputs' messages."""

from types import SimpleNamespace
from typing import Any

import sensor_msgs.msg
from geometry_msgs.msg import Point, PoseWithCovarianceStamped
from std_msgs.msg import ColorRGBA

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.outputs.table import Output


class _MessageClasses(SimpleNamespace):
    """Message classes by name. Those of visualization_msgs are imported when they are first used: few nodes need it."""

    def __getattr__(self, name: str) -> Any:
        if name not in ("Marker", "MarkerArray"):
            raise AttributeError(name)
        try:
            import visualization_msgs.msg
        except ImportError as error:
            raise ConfigurationError(
                "parameter outputs.normals_arrows is true, but visualization_msgs is not installed: sudo apt install "
                "ros-$ROS_DISTRO-visualization-msgs, or set it to false"
            ) from error
        return getattr(visualization_msgs.msg, name)


CLASSES = _MessageClasses(
    **vars(sensor_msgs.msg), PoseWithCovarianceStamped=PoseWithCovarianceStamped, Point=Point, ColorRGBA=ColorRGBA
)
"""What builders make messages of."""


def message_class(output: Output) -> Any:
    """Return the class of an output's messages; ConfigurationError if its package is not installed."""
    return getattr(CLASSES, output.kind)
