"""An executor that goes on whatever rclpy or a callback raises: one bad message or request must not end the node."""

from collections.abc import Callable
from typing import Any

from rclpy.executors import SingleThreadedExecutor

from metric3d_ros.nodes.serving.faults import Faults


class EnduringExecutor(SingleThreadedExecutor):
    """Notes exceptions of taking and handling messages, requests, timers and events, where rclpy raises them.

    rclpy raises them out of `spin_once`. An exception while a message is taken would besides leave its subscription,
    and the callback group around it, marked as busy for good.
    """

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def _make_handler(self, entity: Any, node: Any, take_from_wait_list: Callable[[Any], Any]) -> Any:
        """Make rclpy's handler of an entity, around a version of `take_from_wait_list` that raises nothing."""

        def take(entity: Any) -> Any:
            try:
                execute = take_from_wait_list(entity)
            except Exception as error:  # as the class promises
                self._faults.note(_name(entity), error)
                return None
            if execute is None:
                return None

            async def guarded() -> None:
                try:
                    await execute()
                except Exception as error:  # as the class promises
                    self._faults.note(_name(entity), error)

            return guarded

        return super()._make_handler(entity, node, take)


def _name(entity: Any) -> str:
    """Return what an entity is for, in words for the log."""
    for attribute, words in (("topic_name", "message on {}"), ("service_name", "request to {}")):
        try:
            name = getattr(entity, attribute, None)
        except Exception:  # it is being destroyed
            name = None
        if name:
            return words.format(name)
    return f"event of a {type(entity).__name__}"
