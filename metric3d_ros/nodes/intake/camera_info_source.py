"""Asks the graph whether what comes on a camera_info topic can be another camera's than the images'."""

import time
from collections.abc import Collection

from rclpy.node import Node

from metric3d_ros.nodes.ros.missing_messages import (
    CAMERA_INFO_TYPE,
    COMPRESSED_TYPE,
    IMAGE_TYPE,
    describe_publishers,
    foreign_topics,
)
from metric3d_ros.nodes.ros.topic_names import camera_info_beside, strip_transport

_ASK_EVERY_S = 1.0


class CameraInfoSource:
    """The camera_info topic of one camera; the answer of the graph is kept for a second."""

    def __init__(self, node: Node, *, image_topic: str, camera_info_topic: str, of_others: Collection[str]) -> None:
        """Prepare to be asked.

        Args:
            image_topic, camera_info_topic: in full, after remapping.
            of_others: the camera_info topics of this node's other cameras.
        """
        self._node = node
        self._image_topic = strip_transport(image_topic)
        self._topic = camera_info_topic
        self._of_others = frozenset(of_others)
        self._asked_s: float | None = None
        self._doubt = ""

    def explain_doubt(self) -> str:
        """Return why camera_info with another frame_id may be another camera's; "" if it can only be this one's."""
        now_s = time.monotonic()
        if self._asked_s is None or now_s - self._asked_s >= _ASK_EVERY_S:
            self._asked_s, self._doubt = now_s, self._ask()
        return self._doubt

    def _ask(self) -> str:
        if self._topic in self._of_others:
            return "another camera of this node takes the same topic"
        publishers = describe_publishers(self._node, self._topic, CAMERA_INFO_TYPE)
        if len(publishers) > 1:
            return f"it has {len(publishers)} publishers ({', '.join(sorted(publishers))})"
        if self._topic == camera_info_beside(self._image_topic):
            return ""
        namespace = self._topic.rpartition("/")[0]

        def is_neighbour(topic: str) -> bool:
            image = strip_transport(topic)
            return image.rpartition("/")[0] == namespace and image != self._image_topic

        neighbours = foreign_topics(self._node, [IMAGE_TYPE, COMPRESSED_TYPE], accept=is_neighbour)
        if neighbours:
            return f"it is beside {neighbours[0]}, and not beside {self._image_topic}"
        return ""
