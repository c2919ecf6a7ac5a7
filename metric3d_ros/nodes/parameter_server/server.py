"""Binds a parameter table to a ROS node: declares it, reads it, and checks every change before it happens."""

import contextlib
import difflib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.file_reader import SEVERAL_TYPES, with_words_in_quotes
from metric3d_ros.nodes.parameter_server.schema import Entry, build, entries, flatten, format_value
from metric3d_ros.nodes.parameter_server.sources import EVERY_NODE, ParameterSources

T = TypeVar("T")

# Parameters that rclpy declares by itself.
_OF_RCLPY = ("use_sim_time", "start_type_description_service", "qos_overrides.")

_LARGEST_INT = 2**63 - 1


class ParameterServer(Generic[T]):
    """The parameters of one node, always as a whole and valid table in `values`.

    The node comes from `run_node.create_node`, with what the user has set declared already: rclpy shows it by no other
    public means, and declaring a parameter straight away would refuse an integer for a double.
    """

    def __init__(
        self,
        node: Node,
        table: type[T],
        *,
        sources: ParameterSources,
        options: Mapping[str, Any] | None = None,
        on_change: Callable[[T], None] | None = None,
    ) -> None:
        """Declare the parameters of `table` on `node`.

        Args:
            sources: the files and arguments with the values; what they set for this node, or miss it with, is logged.
            options: values by full name from the command line, which win over ROS's.
            on_change: called with the new table after each accepted change. ConfigurationError from it refuses the
                change, with that reason; nothing may have happened then.

        Raises ConfigurationError for a value that cannot be used.
        """
        self._node = node
        self._table = table
        self._entries = {entry.name: entry for entry in entries(table)}
        self._on_change = on_change
        self._changing = threading.Lock()
        self._sources = sources
        self._node_name = str(node.get_fully_qualified_name())
        self._check_sources()
        given = self._take_overrides()
        given.update(options or {})
        self.values: T = build(table, given)
        for name, value in flatten(self.values).items():
            ros_value = list(value) if isinstance(value, tuple) else value
            node.declare_parameter(name, ros_value, _descriptor(self._entries[name]), ignore_override=True)
        node.add_pre_set_parameters_callback(self._convert)
        node.add_on_set_parameters_callback(self._accept)

    @contextlib.contextmanager
    def held(self) -> Iterator[T]:
        """Give the present table; a change on another thread waits until this context ends."""
        with self._changing:
            yield self.values

    def _check_sources(self) -> None:
        """Log what each file sets; ConfigurationError for a value of this node that ROS 2 could not read."""
        self._sources.check_strays(self._node_name, self._entries)
        refused = self._sources.refused(
            self._node_name, lambda name: name in self._entries or name.startswith(_OF_RCLPY)
        )
        if refused is not None:
            entry = self._entries.get(refused.name)
            example = entry.example if entry else ""
            if entry and refused.refusal == SEVERAL_TYPES and entry.kind == tuple[str, ...]:
                example = f"{entry.name}: {with_words_in_quotes(refused.text)}"
            remedy = f"write {example}, or leave it out" if example else "leave it out"
            raise ConfigurationError(
                f"parameter {refused.name} is {refused.text or 'empty'} in {refused.source}, and {refused.refusal}: "
                f"{remedy}"
            )
        lines, warnings = self._sources.describe(self._node_name, self._entries)
        for line in lines:
            self._node.get_logger().info(line)
        for warning in warnings:
            self._node.get_logger().warning(warning)

    def _take_overrides(self) -> dict[str, Any]:
        overrides: dict[str, Any] = {}
        of_others: list[str] = []
        declared = [name for name in self._node.get_parameters_by_prefix("") if not name.startswith(_OF_RCLPY)]
        for name in dict.fromkeys(declared + self._sources.names(self._node_name)):
            setting = self._sources.setting(self._node_name, name)
            if name in declared and name in self._entries:
                overrides[name] = self._accept_override(name, setting.source if setting else "")
            elif name not in self._entries and not name.startswith(_OF_RCLPY):
                near = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.7)
                if near or setting is None or setting.section != EVERY_NODE or setting.is_argument:
                    hint = f", did you mean {near[0]}?" if near else ""
                    self._node.get_logger().warning(f"parameter {name} is not known and has no effect{hint}")
                else:
                    of_others.append(name)
            if name in declared:
                self._node.undeclare_parameter(name)
        if of_others:
            names = ", ".join(of_others)
            self._node.get_logger().info(f"parameters under {EVERY_NODE} that are not for this node: {names}")
        self._check_use_sim_time()
        return overrides

    def _accept_override(self, name: str, source: str) -> Any:
        value = self._node.get_parameter(name).value
        try:
            return self._entries[name].accept(value)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} ({source})" if source else str(error)) from error

    def _check_use_sim_time(self) -> None:
        """Raise ConfigurationError if rclpy only logs that it does without a simulated clock."""
        given = self._node.get_parameter("use_sim_time")
        if given.type_ != Parameter.Type.BOOL:
            raise ConfigurationError(
                f"parameter use_sim_time is {given.value!r}, expected bool: write true or false, without quotes"
            )

    def _convert(self, parameters: list[Parameter]) -> list[Parameter]:
        """Convert integers to doubles and bools to words if the parameter needs it, before rclpy refuses them.

        Of a parameter that cannot change rclpy's error is only that it is read-only; the remedy goes to the log.
        """
        for given in parameters:
            if given.name in self._entries and self._entries[given.name].read_only:
                self._node.get_logger().warning(
                    f"parameter {given.name} is read once, when the node starts: start it again with the new value"
                )
        return [self._to_own_type(given) for given in parameters]

    def _to_own_type(self, given: Parameter) -> Parameter:
        entry = self._entries.get(given.name)
        if entry is None:
            return given
        if entry.kind is float and given.type_ == Parameter.Type.INTEGER:
            return Parameter(given.name, Parameter.Type.DOUBLE, float(given.value))
        if entry.words_of_flags and given.type_ == Parameter.Type.BOOL:
            return Parameter(given.name, Parameter.Type.STRING, entry.words_of_flags[given.value])
        return given

    def _accept(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {given.name: given.value for given in parameters if given.name in self._entries}
        if not changes:
            return SetParametersResult(successful=True)
        with self._changing:
            try:
                values = build(self._table, flatten(self.values) | changes)
                if self._on_change is not None:
                    self._on_change(values)
            except ConfigurationError as error:
                return SetParametersResult(successful=False, reason=str(error))
            before, now = flatten(self.values), flatten(values)
            self.values = values
        for name in changes:
            if now[name] != before[name]:
                self._node.get_logger().info(f"{name} is now {format_value(now[name])}")
        return SetParametersResult(successful=True)


def _descriptor(entry: Entry) -> ParameterDescriptor:
    unit = f" [{entry.unit}]" if entry.unit else ""
    descriptor = ParameterDescriptor(description=entry.description + unit, read_only=entry.read_only)
    constraints = [f"one of {entry.limits}"] if entry.choices else []
    if entry.read_only:
        constraints.append("fixed while the node runs: it is read when the node starts")
    descriptor.additional_constraints = "; ".join(constraints)
    if entry.kind is int and (entry.minimum is not None or entry.maximum is not None):
        lowest = -_LARGEST_INT if entry.minimum is None else int(entry.minimum)
        highest = _LARGEST_INT if entry.maximum is None else int(entry.maximum)
        descriptor.integer_range = [IntegerRange(from_value=lowest, to_value=highest, step=0)]
    elif entry.kind is float and (entry.minimum is not None or entry.maximum is not None):
        lowest_m = -sys.float_info.max if entry.minimum is None else float(entry.minimum)
        highest_m = sys.float_info.max if entry.maximum is None else float(entry.maximum)
        descriptor.floating_point_range = [FloatingPointRange(from_value=lowest_m, to_value=highest_m, step=0.0)]
    return descriptor
