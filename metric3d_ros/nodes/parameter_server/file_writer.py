"""Writes a table of parameters as a ROS 2 parameter file: config/depth.yaml and the parameters in a snapshot."""

import textwrap
from collections.abc import Mapping

from metric3d_ros.nodes.parameter_server.schema import Entry, Value, entries, format_value

_WIDTH = 118

_ABOUT_DEFAULTS = """\
# Every parameter with its default, as a comment. A parameter that this file does not set keeps its default, or the
# value that another source sets. Copy this file, uncomment the parameters that you change, and pass it as
#   ros2 launch metric3d_ros depth.launch.py params_file:=FILE
# It is for nodes of any name in any namespace; /**/depth_node: in place of /**: suits a file for several nodes."""


def parameters_to_yaml(table: type, *, values: Mapping[str, Value] | None = None, about: str = _ABOUT_DEFAULTS) -> str:
    """Return a parameter file with every parameter and its description, for any node name.

    `values` are by full name; if it is None, each parameter is a comment that shows its default. `about` goes first,
    as comments.
    """
    lines = about.splitlines()
    lines += ["/**:", "  ros__parameters:"]
    for entry in entries(table):
        lines += textwrap.wrap(_comment(entry), _WIDTH, initial_indent="    # ", subsequent_indent="    # ")
        setting = (
            f"    # {entry.example}" if values is None else f"    {entry.name}: {format_value(values[entry.name])}"
        )
        lines += [setting, ""]
    return "\n".join(lines[:-1]) + "\n"


def _comment(entry: Entry) -> str:
    facts = ", ".join(filter(None, [entry.unit, entry.limits, "fixed while the node runs" * entry.read_only]))
    return f"{entry.description} ({facts})" if facts else entry.description
