"""Writes the parameters of a node as Markdown for the README and as YAML for config/."""

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameters.depth import DepthParameters, PlayerParameters
from metric3d_ros.nodes.parameters.schema import Entry, Value, entries, format_value

_TABLES = {"depth_node": DepthParameters, "image_player": PlayerParameters}
_YAML_WIDTH = 118


def parameters_to_markdown(table: type) -> str:
    """Return one row for each parameter of `table`."""
    lines = ["| parameter | type | default | range | description |", "|---|---|---|---|---|"]
    for entry in entries(table):
        kind = f"{entry.kind_name}, {entry.unit}" if entry.unit else entry.kind_name
        fixed = " Fixed while the node runs." if entry.read_only else ""
        cells = [f"`{entry.name}`", kind, f"`{format_value(entry.default)}`", entry.limits, entry.description + fixed]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


_ABOUT_DEFAULTS = """\
# Every parameter with its default. All are comments: what a file does not set stays as the node, or whatever else sets
# it, has it. Copy this file, take the "# " away before what you change, and pass it as
#   ros2 launch metric3d_ros depth.launch.py params_file:=FILE
# It is for nodes of any name in any namespace; /**/depth_node: in place of /**: suits a file for several nodes."""


def parameters_to_yaml(table: type, *, values: Mapping[str, Value] | None = None, about: str = _ABOUT_DEFAULTS) -> str:
    """Return a parameter file with every parameter and its description, for any node name.

    `values` are by full name; where it is None, each parameter is a comment that shows its default. `about` goes
    first, as comments.
    """
    lines = about.splitlines()
    lines += ["/**:", "  ros__parameters:"]
    for entry in entries(table):
        lines += textwrap.wrap(_comment(entry), _YAML_WIDTH, initial_indent="    # ", subsequent_indent="    # ")
        setting = (
            f"    # {entry.example}" if values is None else f"    {entry.name}: {format_value(values[entry.name])}"
        )
        lines += [setting, ""]
    return "\n".join(lines[:-1]) + "\n"


def _comment(entry: Entry) -> str:
    facts = ", ".join(filter(None, [entry.unit, entry.limits, "fixed while the node runs" * entry.read_only]))
    return f"{entry.description} ({facts})" if facts else entry.description


def replace_between(text: str, name: str, content: str) -> str:
    """Return `text` with `content` in place of what is between <!-- name:begin --> and <!-- name:end -->.

    Raises ConfigurationError when the two are not there, once each and in this order.
    """
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed) or begin in after:
        raise ConfigurationError(f"the text has no single {begin.strip()} with {end} behind it: put both back")
    return f"{before}{begin}{content}{end}{after}"


def write_readme(text: str) -> str:
    """Return the README with the tables of topics and parameters as the code has them."""
    from metric3d_ros.nodes.parameters.topic_docs import topics_to_markdown  # needs ROS, which the rest does not

    text = replace_between(text, "topics", topics_to_markdown())
    return replace_between(text, "parameters", parameters_to_markdown(DepthParameters))


def main(argv: Sequence[str] | None = None) -> int:
    """Print or write the document that was asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m metric3d_ros.nodes.parameters.docs",
        description=f"{__doc__} Without arguments: rewrites README.md and config/depth.yaml of this folder.",
    )
    parser.add_argument("node", nargs="?", choices=sorted(_TABLES))
    parser.add_argument("format", nargs="?", choices=["yaml", "markdown"], default="yaml")
    options = parser.parse_args(argv)
    if options.node:
        write = parameters_to_yaml if options.format == "yaml" else parameters_to_markdown
        sys.stdout.write(write(_TABLES[options.node]))
        return 0
    readme = Path("README.md")
    readme.write_text(write_readme(readme.read_text(encoding="utf-8")), encoding="utf-8")
    Path("config/depth.yaml").write_text(parameters_to_yaml(DepthParameters), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
