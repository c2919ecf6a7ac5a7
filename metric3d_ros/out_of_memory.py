"""Too little memory, as each library tells it: recognised, and turned into one error that names the remedy."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from metric3d_ros.errors import OutOfMemoryError

_SIGNS = (
    "failed to allocate",
    "could not allocate",
    "cannot allocate",
    "reallocate memory",
    "out of memory",
    "bad_alloc",
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "cuda failure 2:",  # cudaErrorMemoryAllocation
    "outofmemory",  # TensorRT
    "insufficient memory",  # OpenCV
    "unable to dynamically resize",  # ROS 2, of a serialised message
    "__sequence ros_message",  # ROS 2, of a message's list
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a library failed because memory ran out."""
    if isinstance(error, (MemoryError, OutOfMemoryError)) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    text = str(error).lower()
    if any(sign in text for sign in _SIGNS):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def explain_out_of_memory(error: Exception, *, doing: str, remedy: str) -> Exception:
    """Return an OutOfMemoryError in place of what a library raised for lack of memory; any other error as it is.

    Args:
        doing: what needed the memory, as in "decoding the image".
        remedy: ends the message.
    """
    if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
        return error
    explained = OutOfMemoryError(f"{doing}: out of memory; {remedy}")
    # Without the traceback, which would keep the arrays that the memory went to.
    explained.__cause__ = error.with_traceback(None)
    return explained


@contextlib.contextmanager
def needing_memory(doing: str, *, remedy: str) -> Iterator[None]:
    """Raise OutOfMemoryError for lack of memory in this context, whichever library finds it; see above."""
    try:
        yield
    except Exception as error:  # each library raises its own class for it
        explained = explain_out_of_memory(error, doing=doing, remedy=remedy)
        if explained is error:
            raise
        raise explained from explained.__cause__
