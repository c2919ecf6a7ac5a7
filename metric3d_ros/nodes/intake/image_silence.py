"""Finds out why no images come from a camera."""

from rclpy.node import Node

from metric3d_ros.nodes.ros.missing_messages import Silence, WantedTopic, explain_silence

_SILENT_S = 3


class ImageSilence:
    """Asks the graph once a second if nothing has come since, and logs what it finds after three seconds."""

    def __init__(self, node: Node, wanted: WantedTopic) -> None:
        self._node = node
        self._wanted = wanted
        self.reason: Silence | None = None
        """Why no images come; None while they do."""
        self._logged = ""
        self._received_before = 0
        self._seconds = 0

    def watch(self, *, received: int) -> None:
        """Take how many images have come so far; call it once a second."""
        is_silent = received == self._received_before
        self._received_before = received
        self._seconds = self._seconds + 1 if is_silent else 0
        self.reason = explain_silence(self._node, self._wanted) if is_silent else None
        # Publishers and this node may have found each other only halfway.
        if self.reason is not None and self._seconds >= _SILENT_S:
            self._log_once(self.reason, is_first=not received)

    def _log_once(self, reason: Silence, *, is_first: bool) -> None:
        if reason.text == self._logged:
            return
        self._logged = reason.text
        text = f"no images come: {reason.text}"
        if reason.is_mistake:
            self._node.get_logger().warning(text)
        elif is_first:  # else the camera is slow, or has ended
            self._node.get_logger().info(text)
