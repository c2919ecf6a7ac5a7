"""The classes of the outputs' messages."""

from typing import Any

import sensor_msgs.msg

from metric3d_ros.outputs.table import Output


def message_class(output: Output) -> Any:
    """Return the class of an output's messages."""
    return getattr(sensor_msgs.msg, output.kind)
