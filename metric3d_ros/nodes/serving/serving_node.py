"""A ROS node that frames go through while others ask it things: each request gets an answer or a refusal."""

import copy
import inspect
import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetLoggerLevelsResult, SetParametersResult
from rcl_interfaces.srv import SetLoggerLevels, SetParameters, SetParametersAtomically
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_services_default
from rclpy.service import Service

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.excerpts import excerpt
from metric3d_ros.nodes.parameter_server.reloadable_node import ReloadableNode
from metric3d_ros.nodes.serving.faults import Faults, one_line
from metric3d_ros.nodes.serving.printable_logger import make_printable
from metric3d_ros.nodes.serving.service_desk import MOST_WAITING, ServiceDesk

MOST_ITEMS = 10_000
"""Names, parameters or levels in one request; a larger one is refused."""
# Requests of several clients at once must not push each other out of the reader's history, which holds 10 otherwise.
_HISTORY = 2 * MOST_WAITING
# A longer list of parameters is set at half speed: frames need Python's lock too.
_SHORT_LIST = 20
_CLOSE_S = 0.5


class ServingNode(ReloadableNode):
    """Serves every request, rclpy's own services included, beside the executor's thread; errors end in a refusal."""

    def __init__(self, name: str, **options: Any) -> None:
        self._desk = ServiceDesk(self)
        self._printable_logger: RcutilsLogger | None = None
        self._service_group = ReentrantCallbackGroup()
        super().__init__(name, **options)
        self.faults = Faults(self.get_logger())
        """What could not be used of what others sent."""

    def get_logger(self) -> RcutilsLogger:
        """Return the node's logger, whose lines are this node's own whatever text of others is in them."""
        if self._printable_logger is None:
            self._printable_logger = make_printable(super().get_logger())
        return self._printable_logger

    def resolve_topic_name(self, topic: str, *, only_expand: bool = False) -> str:
        """Return a topic's name in full; ConfigurationError if it is no name of a topic."""
        try:
            return str(super().resolve_topic_name(topic, only_expand=only_expand))
        except Exception as error:  # of several types, few of them public
            raise ConfigurationError(
                f"{excerpt(topic)} is no name of a topic ({one_line(error)}): expected letters, digits, _ and /, as in "
                "/front/image"
            ) from error

    def create_service(
        self,
        srv_type: Any,
        srv_name: str,
        callback: Callable[[Any, Any], Any],
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: Any = None,
    ) -> Service:
        """Offer a service; `callback` runs on the thread for requests, or on the executor's if it is a coroutine.

        rclpy creates the services of parameters and loggers in this way too.
        """
        qos_profile = copy.copy(qos_profile)
        qos_profile.depth = max(qos_profile.depth, _HISTORY)
        if srv_type is SetParameters:
            callback = self._on_set_parameters
        if not inspect.iscoroutinefunction(callback):
            callback = self._served(callback, srv_name)
            callback_group = callback_group or self._service_group
        return super().create_service(
            srv_type, srv_name, callback, qos_profile=qos_profile, callback_group=callback_group
        )

    def destroy_node(self) -> None:
        """End the thread for requests, and the node."""
        self._desk.close(timeout_s=_CLOSE_S)
        super().destroy_node()

    def _served(self, callback: Callable[[Any, Any], Any], name: str) -> Callable[[Any, Any], Any]:
        what = f"request to {name}"

        def answer(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:  # each request gets an answer
                return _refusal(request, response, self.faults.note(what, error))

        async def serve(request: Any, response: Any) -> Any:
            if _items(request) > MOST_ITEMS:
                error = ValueError(f"it has {_items(request)} items, expected at most {MOST_ITEMS}: split it")
                return _refusal(request, response, self.faults.note(what, error))
            future = self._desk.submit(lambda: answer(request, response))
            if future is None:
                error = ValueError(f"{MOST_WAITING} requests wait already: ask again later")
                return _refusal(request, response, self.faults.note(what, error))
            return await future

        return serve

    def _on_set_parameters(self, request: SetParameters.Request, response: SetParameters.Response) -> Any:
        """Set parameters one by one, as rclpy does, but refuse what has no type, and let frames through."""
        for given in request.parameters:
            started_s = time.monotonic()
            response.results.append(self._set_parameter(given))
            if len(request.parameters) > _SHORT_LIST and not self._desk.closing.is_set():
                time.sleep(time.monotonic() - started_s)
        return response

    def _set_parameter(self, given: Any) -> SetParametersResult:
        try:
            return self.set_parameters_atomically([Parameter.from_parameter_msg(given)])
        except ParameterNotDeclaredException as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # each parameter gets an answer
            reason = self.faults.note("request to set_parameters", error, part=f"parameter {given.name!r}: ")
            return SetParametersResult(successful=False, reason=reason)


def _items(request: Any) -> int:
    """Return how long the longest list of a request is."""
    values = (getattr(request, name) for name in request.get_fields_and_field_types())
    return max((len(value) for value in values if isinstance(value, list)), default=0)


def _refusal(request: Any, response: Any, reason: str) -> Any:
    """Return an empty response of the same type that gives `reason` where the type has a field for it."""
    refusal = type(response)()
    if isinstance(request, SetParameters.Request):
        refusal.results = [SetParametersResult(successful=False, reason=reason)] * len(request.parameters)
    elif isinstance(request, SetParametersAtomically.Request):
        refusal.result = SetParametersResult(successful=False, reason=reason)
    elif isinstance(request, SetLoggerLevels.Request):
        refusal.results = [SetLoggerLevelsResult(successful=False, reason=reason)] * len(request.levels)
    elif hasattr(refusal, "success") and hasattr(refusal, "message"):
        refusal.success, refusal.message = False, reason
    return refusal
