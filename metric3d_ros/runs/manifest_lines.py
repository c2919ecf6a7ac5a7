"""The lines of a manifest as they are read back: within limits, and with all that they must have."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metric3d_ros.errors import DataError
from metric3d_ros.files.boundary import one_line_about, read_lines
from metric3d_ros.files.excerpts import shorten

MANIFEST, SETTINGS = "manifest.jsonl", "run.json"
MOST_BYTES = 1 << 30
"""Two million frames."""
MOST_LINE_BYTES = 1 << 20
_REMEDY = "the run cannot be resumed; give another folder"
_NUMBER = (int, float)
_DEPTH = (int, float, type(None))
_CHUNK = {
    "chunk": str,
    "recording": str,
    "number": int,
    "attempt": int,
    "start": _NUMBER,
    "stop": _NUMBER,
    "complete": bool,
    "bag_file": str,
}
_FAILED = {"frame": str, "recording": str, "failed": str}
_FRAME = {
    "frame": str,
    "recording": str,
    "stamp_ns": int,
    "received_ns": int,
    "camera": {"width": int, "height": int},
    "focal_px": _NUMBER,
    "focal_from": str,
    "depth_m": {"p5": _DEPTH, "p50": _DEPTH, "p95": _DEPTH},
    "files": [str],
}


def read_manifest(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the lines of a manifest, and how many bytes they take; a last chunk that was not finished is left out.

    A chunk's own line comes after those of its frames: without it nothing tells where their part of a bag or video is.

    Raises DataError for a file that is too large, or has a line that no run has written.
    """
    found: list[dict[str, Any]] = []
    whole, size, read = 0, 0, 0
    for number, line in _lines(path):
        with one_line_about(f"{path}, line {number}", DataError, what="line of a manifest", remedy=_REMEDY):
            found.append(_checked(json.loads(line)))
        read += len(line)
        if "frame" not in found[-1]:
            whole, size = len(found), read
    return found[:whole], size


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    lines = read_lines(
        path, most_bytes=MOST_BYTES, most_line_bytes=MOST_LINE_BYTES, error=DataError, remedy=_REMEDY, what="manifest"
    )
    # The machine stopped while a line without an end was written.
    yield from ((number, line) for number, line in lines if line.endswith(b"\n"))


def _checked(line: Any) -> dict[str, Any]:
    """Return a line; ValueError if something that it must have is missing or of another kind."""
    if not isinstance(line, dict):
        raise ValueError(f"it holds {type(line).__name__}, expected a mapping")
    shape: dict[str, Any] = _CHUNK if "frame" not in line else _FAILED if "failed" in line else _FRAME
    _check(line, shape, "")
    json.dumps(line, ensure_ascii=False).encode()  # half of a surrogate pair is no text that can be written
    _check(line.get("left_out") or {}, dict, "left_out")
    for name, count in (line.get("left_out") or {}).items():
        _check(count, int, f"left_out.{name}")
    _check(line.get("video_files") or {}, dict, "video_files")
    named = [("bag_file", line.get("bag_file")), ("video_file", line.get("video_file"))]
    for stream, file in (line.get("video_files") or {}).items():
        named += [("a stream of video_files", stream), (f"video_files.{shorten(stream, 80)}", file)]
    for name, file in named:
        if not isinstance(file or "", str) or "/" in (file or "") or (file or "").startswith("."):
            raise ValueError(f"{name} is {shorten(repr(file), 80)}, expected a file's name")
    return line


def _check(value: Any, shape: Any, name: str) -> None:
    if isinstance(shape, dict):
        for each, part in shape.items():
            if not isinstance(value, dict) or each not in value:
                raise ValueError(f"{name}{each} is missing")
            _check(value[each], part, f"{name}{each}.")
    elif isinstance(shape, list):
        _check(value, list, name)
        for each in value:
            _check(each, shape[0], name)
    elif not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool) or _is_endless(value):
        raise ValueError(f"{name.rstrip('.')} is {shorten(repr(value), 80)}")


def _is_endless(value: Any) -> bool:
    """Return whether a value is a number that nothing measures, such as infinity, NaN or one of 400 digits."""
    return isinstance(value, (int, float)) and not abs(value) < 1 << 64
