"""Reads the fields of protobuf messages, of which ONNX files consist, without the onnx package."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import NamedTuple

Buffer = bytes | mmap.mmap

_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10
_MOST_KEY = (1 << 32) - 1


class Field(NamedTuple):
    """A field with a length: its number in the message, and where its content lies in the buffer."""

    number: int
    start: int
    end: int


def read_fields(data: Buffer, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message at `start` to `end` that have a length; skip all others.

    Raises:
        ValueError: it is no protobuf message, or has a field of a kind that ONNX files never have.
    """
    position = start
    while position < end:
        key, position = _read_varint(data, position, end)
        kind = key & 7
        if not 8 <= key <= _MOST_KEY:
            raise ValueError(f"field {key >> 3} is no field of protobuf")
        if kind == _LENGTH:
            size, position = _read_varint(data, position, end)
            if position + size > end:
                raise ValueError("a field is longer than its message")
            yield Field(key >> 3, position, position + size)
            position += size
        elif kind == _VARINT:
            _, position = _read_varint(data, position, end)
        elif kind in (_FIXED_64, _FIXED_32):
            position += 8 if kind == _FIXED_64 else 4
        else:
            raise ValueError(f"wire type {kind} is none that ONNX files have")
    if position != end:
        raise ValueError("a field is longer than its message")


def _read_varint(data: Buffer, position: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(_MOST_VARINT_BYTES):
        if position >= end:
            raise ValueError("a number is cut off")
        byte = data[position]
        value |= (byte & 0x7F) << (7 * index)
        position += 1
        if byte < 0x80:
            return value, position
    raise ValueError(f"a number has more than {_MOST_VARINT_BYTES} bytes")
