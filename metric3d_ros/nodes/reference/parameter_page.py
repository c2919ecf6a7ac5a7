"""docs/parameters.md: every parameter of the nodes, from the tables that declare them."""

from metric3d_ros.nodes.parameter_server.schema import Entry, entries, format_value
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.parameters.image_player_parameters import PlayerParameters

_HEAD = """\
# Parameters

<!-- Written by `python -m metric3d_ros.nodes.reference`: change metric3d_ros/nodes/parameters, not this page. -->

The node reads a parameter marked *fixed* once, when it starts. `ros2 param set` changes every other one while it runs.
`ros2 param describe /depth_node NAME` prints the same descriptions. [config/depth.yaml](../config/depth.yaml) shows
every parameter with its default, to copy from; [Parameter files](integration.md#parameter-files) explains how to write
a file that the node reads, and how to set the QoS of one topic.
"""

_COLUMNS = """\
| parameter | type | default | range | description |
|---|---|---|---|---|
"""


def parameter_page() -> str:
    """Return docs/parameters.md."""
    return "\n".join(
        [
            _HEAD,
            "## depth_node\n",
            parameters_to_markdown(DepthParameters),
            "## image_player\n",
            parameters_to_markdown(PlayerParameters),
        ]
    )


def parameters_to_markdown(table: type) -> str:
    """Return a Markdown table with one row for each parameter of `table`."""
    return _COLUMNS + "".join(f"| {' | '.join(_cells(entry))} |\n" for entry in entries(table))


def _cells(entry: Entry) -> list[str]:
    kind = f"{entry.kind_name}, {entry.unit}" if entry.unit else entry.kind_name
    fixed = " *Fixed.*" if entry.read_only else ""
    return [f"`{entry.name}`", kind, f"`{format_value(entry.default)}`", entry.limits, entry.description + fixed]
