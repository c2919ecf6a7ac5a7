"""Makes a runtime read what attention is made of, where it has no operator of its own for it.

Models of our exporter have attention as ONNX Runtime's operator `com.microsoft.MultiHeadAttention`, and beside it a
function that says what that is in standard operators. ONNX Runtime takes the function only where none of its providers
knows the operator. Its CPU and CUDA providers do; so under OpenVINO or TensorRT, which do not, attention would be left
to those and the network fall into pieces. In a domain that nobody knows, the function counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_KNOWN, _OWN = b"com.microsoft", b"metric3d.attn"  # of one length, so that nothing else in the file moves

# Numbers of fields in onnx.proto.
_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_FUNCTIONS = 7, 8, 25
_GRAPH_NODES = 1
_NODE_OPERATOR, _NODE_DOMAIN = 4, 7
_FUNCTION_NAME, _FUNCTION_DOMAIN = 1, 10
_OPSET_DOMAIN = 1

_VARINT, _FIXED_64, _LENGTH, _FIXED_32 = 0, 1, 2, 5


class _Field(NamedTuple):
    number: int
    start: int
    end: int


def explain_attention(model: bytes) -> bytes:
    """Return an ONNX file in which operators of ONNX Runtime's own domain are functions of the file.

    The file is returned as it is where it has no such operator, or does not explain all that it has.
    """
    try:
        places = _find_domains(model)
    except (IndexError, ValueError):
        return model  # no ONNX file, which ONNX Runtime explains better
    if not places:
        return model
    changed = bytearray(model)
    for start in places:
        changed[start : start + len(_KNOWN)] = _OWN
    return bytes(changed)


def _find_domains(model: bytes) -> list[int]:
    """Return where the domain is named; nowhere if some operator of it has no function."""
    places: list[int] = []
    used: set[bytes] = set()
    explained: set[bytes] = set()
    for field in _fields(model, 0, len(model)):
        if field.number == _MODEL_GRAPH:
            for node in _fields(model, field.start, field.end):
                if node.number == _GRAPH_NODES:
                    used |= _note(model, node, _NODE_OPERATOR, _NODE_DOMAIN, places)
        elif field.number == _MODEL_OPSETS:
            _note(model, field, _OPSET_DOMAIN, _OPSET_DOMAIN, places)
        elif field.number == _MODEL_FUNCTIONS:
            explained |= _note(model, field, _FUNCTION_NAME, _FUNCTION_DOMAIN, places)
    return places if used and used <= explained else []


def _note(model: bytes, message: _Field, name: int, domain: int, places: list[int]) -> set[bytes]:
    """Add the place of a message's domain, if it is the known one, and return the message's name then."""
    strings = {field.number: field for field in _fields(model, message.start, message.end)}
    found = strings.get(domain)
    if found is None or model[found.start : found.end] != _KNOWN:
        return set()
    places.append(found.start)
    named = strings.get(name)
    return {model[named.start : named.end]} if named is not None else set()


def _fields(data: bytes, position: int, end: int) -> Iterator[_Field]:
    """Yield the fields of one protobuf message that have a length; skip all others."""
    while position < end:
        key, position = _read_varint(data, position)
        kind = key & 7
        if kind == _LENGTH:
            size, position = _read_varint(data, position)
            if position + size > end:
                raise ValueError("a field is longer than its message")
            yield _Field(key >> 3, position, position + size)
            position += size
        elif kind == _VARINT:
            _, position = _read_varint(data, position)
        elif kind in (_FIXED_64, _FIXED_32):
            position += 8 if kind == _FIXED_64 else 4
        else:
            raise ValueError("no protobuf")


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
