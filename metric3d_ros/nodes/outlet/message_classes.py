"""The classes of the outputs' messages."""

import importlib
from types import SimpleNamespace
from typing import Any

import sensor_msgs.msg

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.outputs.table import Output

_PACKAGES = {
    "PoseWithCovarianceStamped": "geometry_msgs",
    "Point": "geometry_msgs",
    "ColorRGBA": "std_msgs",
    "Marker": "visualization_msgs",
    "MarkerArray": "visualization_msgs",
}
"""Of the classes that are not of sensor_msgs. They are imported when they are first used: few nodes need them."""


class _MessageClasses(SimpleNamespace):
    """Message classes by name."""

    def __getattr__(self, name: str) -> Any:
        if name not in _PACKAGES:
            raise AttributeError(name)
        return getattr(importlib.import_module(f"{_PACKAGES[name]}.msg"), name)


CLASSES = _MessageClasses(**vars(sensor_msgs.msg))
"""What builders make messages of."""


def message_class(output: Output) -> Any:
    """Return the class of an output's messages; ConfigurationError if its package is not installed."""
    try:
        return getattr(CLASSES, output.kind)
    except ImportError as error:
        raise ConfigurationError(
            f"parameter outputs.{output.switch} is true, but {output.package} is not installed: sudo apt install "
            f"ros-$ROS_DISTRO-{output.package.replace('_', '-')}, or set it to false"
        ) from error
