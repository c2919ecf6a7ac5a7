"""ROS messages as the C structs that rcl takes, with their bytes shared instead of copied.

How rosidl lays a message out in C follows from its definition alone, which each Python message class provides. So
nothing is written down here that a newer version of a message could contradict.
"""

import ctypes
import functools
import importlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_PRIMITIVES: Mapping[str, Any] = {
    "boolean": ctypes.c_bool,
    "uint8": ctypes.c_uint8,
    "int32": ctypes.c_int32,
    "uint32": ctypes.c_uint32,
}
_MESSAGE = re.compile(r"\w+/\w+")
_SEQUENCE_OF_MESSAGES = re.compile(r"sequence<(\w+/\w+)>")
_BYTES = "sequence<uint8>"


class Array(ctypes.Structure):
    """A string or a sequence of rosidl_runtime_c: where its elements are, how many, and room for how many."""

    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t)]


@functools.cache
def struct_type(message_type: Any) -> Any:
    """Return the ctypes.Structure that is laid out like `message_type` in C.

    Raises TypeError for a message with a field of another kind than large messages have.
    """
    fields = [(name, _field_type(kind)) for name, kind in message_type.get_fields_and_field_types().items()]
    return type(message_type.__name__, (ctypes.Structure,), {"_fields_": fields})


def has_bytes(message_type: Any) -> bool:
    """Return whether a message has a field `data` of bytes, which are what takes time to copy."""
    return bool(message_type.get_fields_and_field_types().get("data") == _BYTES)


def message_to_struct(message: Any) -> tuple[ctypes.Structure, list[Any]]:
    """Return `message` as a struct, and what must be kept alive (and unchanged) as long as the struct is used.

    Raises TypeError as `struct_type` does, and UnicodeError for a string that is no text.
    """
    kept: list[Any] = []
    return _fill(message, kept), kept


def _fill(message: Any, kept: list[Any]) -> ctypes.Structure:
    message_type: Any = type(message)
    struct: ctypes.Structure = struct_type(message_type)()
    for name, kind in message.get_fields_and_field_types().items():
        setattr(struct, name, _field_value(kind, getattr(message, name), kept))
    return struct


def _field_type(kind: str) -> Any:
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    if kind == "string" or kind == _BYTES:
        return Array
    sequence = _SEQUENCE_OF_MESSAGES.fullmatch(kind)
    if sequence is not None:
        struct_type(_message_type(sequence[1]))  # raises for what it cannot lay out
        return Array
    if _MESSAGE.fullmatch(kind):
        return struct_type(_message_type(kind))
    raise TypeError(f"a field of type {kind} has no C layout here")


def _field_value(kind: str, value: Any, kept: list[Any]) -> Any:
    if kind in _PRIMITIVES:
        return value
    if kind == "string":
        text = ctypes.create_string_buffer(value.encode())
        kept.append(text)
        return Array(ctypes.addressof(text), len(text) - 1, len(text))
    if kind == _BYTES:
        return _share(value, kept)
    sequence = _SEQUENCE_OF_MESSAGES.fullmatch(kind)
    if sequence is not None:
        element = struct_type(_message_type(sequence[1]))
        elements = (element * len(value))(*(_fill(each, kept) for each in value))
        kept.append(elements)
        return Array(ctypes.addressof(elements), len(value), len(value))
    return _fill(value, kept)


def _share(data: Any, kept: list[Any]) -> Array:
    if not len(data):
        return Array(None, 0, 0)
    view = np.frombuffer(data, np.uint8)
    kept.append(view)
    return Array(view.ctypes.data, view.nbytes, view.nbytes)


def _message_type(kind: str) -> Any:
    package, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)
