"""Publishes large messages without rclpy's copy of them, and lets other threads run meanwhile.

rclpy copies a message into C before it publishes, and holds Python's global lock for as long as the middleware then
needs to serialise and send. rcl, underneath, reads the bytes in place, and ctypes releases the lock: 25 MB of
normals take 4 ms of CPU time instead of 9, during which another thread can build what comes next.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from rclpy.publisher import Publisher

from metric3d_ros.nodes.ros.message_structs import has_bytes, message_to_struct, struct_type

Publish = Callable[[Any], None]

_OK = 0


def publish_without_copy(publisher: Publisher, message_type: Any) -> Publish:
    """Return what publishes `message_type` with `publisher`: straight through rcl, or as rclpy does.

    As rclpy does if the message has no large field of bytes, or if this release of ROS 2 differs from those that were
    tried. The published message is the same.
    """
    libraries = _load_rcl()
    if libraries is None or not hasattr(getattr(publisher, "handle", None), "pointer") or not has_bytes(message_type):
        return publisher.publish
    try:
        struct_type(message_type)
    except TypeError:
        return publisher.publish
    rcl_publish, reset_error = libraries

    def publish(message: Any) -> None:
        struct, kept = message_to_struct(message)
        with publisher.handle:  # it is not destroyed meanwhile
            code = rcl_publish(publisher.handle.pointer, ctypes.addressof(struct), None)
        del kept
        if code != _OK:
            reset_error()
            publisher.publish(message)  # which knows what to raise

    return publish


@functools.cache
def _load_rcl() -> tuple[Callable[..., int], Callable[[], None]] | None:
    """Return rcl_publish and rcutils_reset_error of the libraries that rclpy has loaded; None if there are none."""
    try:
        rcl_publish = ctypes.CDLL("librcl.so").rcl_publish
        reset_error = ctypes.CDLL("librcutils.so").rcutils_reset_error
    except (OSError, AttributeError):
        return None
    rcl_publish.argtypes, rcl_publish.restype = [ctypes.c_void_p] * 3, ctypes.c_int32
    reset_error.argtypes, reset_error.restype = [], None
    return rcl_publish, reset_error
