"""The classes of the outputs' messages."""

from types import SimpleNamespace
from typing import Any

import sensor_msgs.msg
from geometry_msgs.msg import PoseWithCovarianceStamped

from metric3d_ros.outputs.table import Output

CLASSES = SimpleNamespace(**vars(sensor_msgs.msg), PoseWithCovarianceStamped=PoseWithCovarianceStamped)
"""What builders make messages of."""


def message_class(output: Output) -> Any:
    """Return the class of an output's messages."""
    return getattr(CLASSES, output.kind)
