"""A DiagnosticStatus of the model or of one camera, under the names that /diagnostics, ~/timing and ~/scale share."""

from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node

from metric3d_ros.files.excerpts import printable


def build_status(
    name: str, *, hardware_id: str, values: Mapping[str, Any], level: int = 0, message: str = ""
) -> DiagnosticStatus:
    """Return a status with values as text; `level` 0: well, 1: a warning, 2: an error."""
    return DiagnosticStatus(
        level=bytes([level]),
        name=name,
        message=printable(message),
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=printable(str(value))) for key, value in values.items()],
    )


def status_name(node: Node, what: str) -> str:
    """Return the name under which a part of the node is reported, such as "depth_node: camera front"."""
    return f"{node.get_fully_qualified_name()}: {what}".lstrip("/").rstrip()
