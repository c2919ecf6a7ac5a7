"""A ROS node to which it is no mistake to set a parameter that cannot change to the value that it has."""

from typing import Any

import yaml
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from metric3d_ros.files.yaml_text import load_first_document


class ReloadableNode(Node):
    """A node whose own dump `ros2 param load` takes back without a failure."""

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set parameters as rclpy does, but for those that are read-only and have that value already.

        `ros2 param load`, `ros2 param set` and rqt come this way.
        """
        changing = [given for given in parameter_list if not self._is_fixed_and_same(given)]
        if parameter_list and not changing:
            return SetParametersResult(successful=True)
        return super().set_parameters_atomically(changing)

    def _is_fixed_and_same(self, given: Parameter) -> bool:
        if not self.has_parameter(given.name) or not self.describe_parameter(given.name).read_only:
            return False
        current = self.get_parameter(given.name)
        if current.type_ == Parameter.Type.STRING and given.type_ != Parameter.Type.STRING:
            current = _without_quotes(current)
        return bool(_plain(current) == _plain(given))


def _without_quotes(parameter: Parameter) -> Parameter:
    """Return what clients that load a file make of a word: they take the quotes off, so that '0' comes as 0."""
    try:
        return Parameter(parameter.name, value=load_first_document(parameter.value))
    except (yaml.YAMLError, TypeError, ValueError):
        return parameter


def _plain(parameter: Parameter) -> tuple[bool, Any]:
    """Return a value such that 1 and 1.0 are equal, but 1 and true are not; rclpy gives lists in several types."""
    value = parameter.value
    is_list = hasattr(value, "__iter__") and not isinstance(value, (str, bytes))
    return isinstance(value, bool), list(value) if is_list else value
