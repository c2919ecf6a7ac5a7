"""Replaces attention by standard operators for a runtime that has no attention operator.

Models of our exporter have attention as ONNX Runtime's operator `com.microsoft.MultiHeadAttention`, and beside it a
function that defines it in standard operators. ONNX Runtime takes the function only if none of its providers has the
operator. Its CPU and CUDA providers have it, OpenVINO and TensorRT do not. So under those two, CPU or CUDA would take
attention and split the network into many parts. In a domain that no provider has, the function is used.
"""

from __future__ import annotations

from metric3d_ros.engine.protobuf import Field, read_fields

_KNOWN, _OWN = b"com.microsoft", b"metric3d.attn"  # of one length, so that nothing else in the file moves

# Numbers of fields in onnx.proto.
_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_FUNCTIONS = 7, 8, 25
_GRAPH_NODES = 1
_NODE_OPERATOR, _NODE_DOMAIN = 4, 7
_FUNCTION_NAME, _FUNCTION_DOMAIN = 1, 10
_OPSET_DOMAIN = 1


def explain_attention(model: bytes) -> bytes:
    """Return an ONNX file in which operators of ONNX Runtime's own domain are functions of the file.

    The file is returned unchanged if it has no such operator, or does not define all of them.
    """
    try:
        places = _find_domains(model)
    except ValueError:
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
    for field in read_fields(model, 0, len(model)):
        if field.number == _MODEL_GRAPH:
            for node in read_fields(model, field.start, field.end):
                if node.number == _GRAPH_NODES:
                    used |= _note(model, node, _NODE_OPERATOR, _NODE_DOMAIN, places)
        elif field.number == _MODEL_OPSETS:
            _note(model, field, _OPSET_DOMAIN, _OPSET_DOMAIN, places)
        elif field.number == _MODEL_FUNCTIONS:
            explained |= _note(model, field, _FUNCTION_NAME, _FUNCTION_DOMAIN, places)
    return places if used and used <= explained else []


def _note(model: bytes, message: Field, name: int, domain: int, places: list[int]) -> set[bytes]:
    """Add the place of a message's domain, if it is the known one, and return the message's name then."""
    strings = {field.number: field for field in read_fields(model, message.start, message.end)}
    found = strings.get(domain)
    if found is None or model[found.start : found.end] != _KNOWN:
        return set()
    places.append(found.start)
    named = strings.get(name)
    return {model[named.start : named.end]} if named is not None else set()
