"""The files that are written from the tables in the code."""

from collections.abc import Callable, Mapping

from metric3d_ros.nodes.parameter_server.file_writer import parameters_to_yaml
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.reference.parameter_page import parameter_page
from metric3d_ros.nodes.reference.security_policy import policy_file
from metric3d_ros.nodes.reference.topic_page import topic_page

GENERATED: Mapping[str, Callable[[], str]] = {
    "docs/parameters.md": parameter_page,
    "docs/topics.md": topic_page,
    "config/depth.yaml": lambda: parameters_to_yaml(DepthParameters),
    "config/sros2_policy.xml": policy_file,
}
"""The text of each file, by its path in the source folder."""
