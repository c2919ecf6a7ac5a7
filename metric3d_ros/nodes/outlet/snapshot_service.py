"""The service ~/save_snapshot: who waits for a snapshot, and how it is answered."""

import threading
from typing import cast

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from metric3d_ros.errors import Metric3DError
from metric3d_ros.files.paths import user_path
from metric3d_ros.messages.stamps import format_stamp
from metric3d_ros.nodes.outlet.snapshot_files import write_snapshot
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.nodes.serving.faults import one_line
from metric3d_ros.out_of_memory import explain_out_of_memory
from metric3d_ros.outputs.result import Result


class SnapshotService:
    """Answers ~/save_snapshot with the next image of one camera, whether or not any output has a subscriber."""

    def __init__(self, node: Node, *, timeout_s: float, camera_name: str = "") -> None:
        """Offer the service, as ~/front/save_snapshot if the camera is one of several."""
        self._node = node
        self._timeout_s = timeout_s
        self._camera_name = camera_name
        self._lock = threading.Lock()
        self._waiting: Future | None = None
        name = f"~/{camera_name}/save_snapshot" if camera_name else "~/save_snapshot"
        # Of its own: while the coroutine waits, nothing else of its group is called, images neither.
        self._group = ReentrantCallbackGroup()
        node.create_service(Trigger, name, self._on_request, callback_group=self._group)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a snapshot."""
        return self._waiting is not None

    def save(self, result: Result) -> None:
        """Write `result`, with all that the network gives, and answer whoever waits; on the publishing thread."""
        with self._lock:  # first, for writing takes a while: whoever asks meanwhile gets a later image
            future, self._waiting = self._waiting, None
        if future is None:
            return
        try:
            folder = user_path(cast(DepthParameters, result.parameters).snapshot.folder) / self._camera_name
            saved = write_snapshot(folder, format_stamp(result), result)
        except Exception as error:  # whatever it is, whoever waits gets an answer; a defect is raised again
            error = explain_out_of_memory(error, doing="writing a snapshot", remedy="give the node more memory")
            future.set_result(Trigger.Response(success=False, message=f"nothing was saved: {one_line(error)}"))
            if not isinstance(error, (OSError, Metric3DError)):
                raise error
            return
        future.set_result(Trigger.Response(success=True, message=str(saved)))

    async def _on_request(self, _: Trigger.Request, __: Trigger.Response) -> Trigger.Response:
        # A coroutine, so that images go on coming in while it waits for one; whoever asks meanwhile gets the same.
        with self._lock:
            future = self._waiting = self._waiting or Future()

        def give_up() -> None:
            with self._lock:
                if self._waiting is not future:  # a snapshot is being written
                    return
                self._waiting = None
            message = f"no image that can be used came within {self._timeout_s:g} s: see /diagnostics"
            future.set_result(Trigger.Response(success=False, message=message))

        # Steady, so that a simulation that stands still gets its answer too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self._node.create_timer(self._timeout_s, give_up, callback_group=self._group, clock=steady)
        try:
            response = await future
        finally:
            self._node.destroy_timer(timer)
        # Two lines: rclpy refuses another severity from the same one.
        if response.success:
            self._node.get_logger().info(f"snapshot: {response.message}")
        else:
            self._node.get_logger().warning(f"snapshot: {response.message}")
        return response
