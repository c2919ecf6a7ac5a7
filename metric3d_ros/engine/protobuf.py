"""Reads and writes the fields of protobuf messages, of which ONNX files consist, without the onnx package."""

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


class AnyField(NamedTuple):
    """A field of any kind: where it lies with its key, where its content lies, and its value if it is a number."""

    number: int
    key_start: int
    start: int
    end: int
    value: int | None
    """None unless it is a varint."""
    has_length: bool


def read_fields(data: Buffer, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message at `start` to `end` that have a length; skip all others.

    Raises:
        ValueError: it is no protobuf message, or has a field of a kind that ONNX files never have.
    """
    for field in read_all_fields(data, start, end):
        if field.has_length:
            yield Field(field.number, field.start, field.end)


def read_all_fields(data: Buffer, start: int, end: int) -> Iterator[AnyField]:
    """Yield every field of the message at `start` to `end`.

    Raises:
        ValueError: as `read_fields`.
    """
    position = start
    while position < end:
        key_start = position
        key, position = _read_varint(data, position, end)
        kind = key & 7
        if not 8 <= key <= _MOST_KEY:
            raise ValueError(f"field {key >> 3} is no field of protobuf")
        value = None
        content = position
        if kind == _LENGTH:
            size, content = _read_varint(data, position, end)
            position = content + size
        elif kind == _VARINT:
            value, position = _read_varint(data, position, end)
        elif kind in (_FIXED_64, _FIXED_32):
            position += 8 if kind == _FIXED_64 else 4
        else:
            raise ValueError(f"wire type {kind} is none that ONNX files have")
        if position > end:
            raise ValueError("a field is longer than its message")
        yield AnyField(key >> 3, key_start, content, position, value, kind == _LENGTH)


def write_field(number: int, content: bytes) -> bytes:
    """Return a field with a length."""
    return write_field_start(number, len(content)) + content


def write_field_start(number: int, length: int) -> bytes:
    """Return what precedes the content of a field with a length."""
    return _write_varint(number * 8 + _LENGTH) + _write_varint(length)


def write_number(number: int, value: int) -> bytes:
    """Return a field that is a number of at least 0."""
    return _write_varint(number * 8 + _VARINT) + _write_varint(value)


def _write_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


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
