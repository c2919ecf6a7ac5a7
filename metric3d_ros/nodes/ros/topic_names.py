"""Names of topics: what ROS 2 allows, the suffix of a transport, rectified images, the camera_info beside images."""

import re
from typing import Any

COMPRESSED_SUFFIX = "/compressed"
"""What image_transport adds to the topic of images for their compressed form."""

# What image_transport's plugins add to the name of a topic.
_TRANSPORTS = frozenset({"compressed", "compressedDepth", "ffmpeg", "theora", "zstd"})
_RECTIFIED_WORDS = frozenset({"rect", "rectified"})

NAME_RULES = "ASCII letters, digits and underscores, no digit first, with a / between namespaces"
_PART = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_LETTERS = 247
"""Of a topic with the / in front of it: ROS 2 keeps 8 of the 255 letters that DDS allows for a prefix."""


def is_ros_name(text: str) -> bool:
    """Return whether ROS 2 allows this name, with its namespace, for a topic or a node: `NAME_RULES`."""
    relative = text.removeprefix("/")
    return len(relative) < _MOST_LETTERS and all(map(_PART.fullmatch, relative.split("/")))


def transport_topic(node: Any, base: str, transport: str) -> str:
    """Return image_transport's name of `base` in another form, such as /camera/image/compressed.

    It follows the base topic when that is remapped, and can be remapped itself.
    """
    return f"{node.resolve_topic_name(base)}/{transport}"


def strip_transport(topic: str) -> str:
    """Return the topic without the suffix of an image_transport plugin, as /image for /image/compressed."""
    base, _, suffix = topic.rpartition("/")
    return base if base and suffix in _TRANSPORTS else topic


def is_rectified_topic(topic: str) -> bool:
    """Return whether the name of an image topic marks its images as rectified.

    By convention the last part has the word "rect" (image_rect, image_rect_color, image_rect_raw of RealSense), or a
    namespace ends with it (camera_rect/image, and rgb/color/rect/image of ZED). The suffix of a transport, as in
    image_rect/compressed, does not count.
    """
    *namespaces, name = [part for part in strip_transport(topic).split("/") if part] or [""]
    if _RECTIFIED_WORDS & set(name.lower().split("_")):
        return True
    return any(namespace.lower().split("_")[-1] in _RECTIFIED_WORDS for namespace in namespaces)


def beside(topic: str, name: str) -> str:
    """Return the topic `name` in the namespace of `topic`, as /camera/depth is beside /camera/image_raw."""
    return topic.rpartition("/")[0] + "/" * ("/" in topic) + name


def camera_info_beside(image_topic: str) -> str:
    """Return the topic on which drivers publish the camera_info of images, which may be compressed ones."""
    return beside(strip_transport(image_topic), "camera_info")
