"""Finds the end of a JPEG and what is missing of a truncated one (ITU-T T.81, annex B).

Decoders fill missing data with gray and report success, or refuse a complete picture because its end mark is missing;
which of the two depends on OpenCV's version. So this module finds the end, and judges what was decoded.
"""

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from metric3d_ros.errors import ImageError

Bytes = NDArray[np.uint8]
Decode = Callable[[Bytes], NDArray[Any] | None]

START = b"\xff\xd8\xff"
_END = np.frombuffer(b"\xff\xd9", np.uint8)
# In coded data ff 00 is the byte ff, and ff d0 to ff d7 are restart marks; any number of ff may stand before a marker.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _RESTART_INTERVAL, _TEMPORARY = 0xD8, 0xD9, 0xDA, 0xDD, 0x01
_MARKER_START = 0xFF
# Start-of-frame markers; C4, C8 and CC in between are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_BETWEEN_SCANS = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)})
"""Tables, comments and application data, all with a length."""
_MOST_SCANS = 24
"""Each of a progressive picture's scans may pass over all pixels; encoders write some ten, for CMYK 18."""
_MOST_MARKERS = 4000
"""More than a phone's colour profiles, previews and maps take; each costs time, and may be two bytes."""
_LAST_COEFFICIENT = 63
_BLOCK_PX = 8
_GRAY = 128
"""The colour that decoders give missing data: all coefficients are zero."""
_NOISE_BYTES = 1 << 16
_MOST_ZEROS = 2
"""Zero bytes that coded data may end with: a plain area takes some ten zero bits a unit with the standard tables."""


@dataclass(frozen=True)
class _Frame:
    size_hw: tuple[int, int]
    progressive: bool
    sampling: dict[int, tuple[int, int]]
    """By component, its samples along x and along y in an MCU."""

    @property
    def most_sampling(self) -> tuple[int, int]:
        return max(x for x, _ in self.sampling.values()), max(y for _, y in self.sampling.values())

    def mcu_hw(self, components: tuple[int, ...]) -> tuple[int, int]:
        """Return the (height, width) in pixels of the image that one unit of a scan of `components` covers."""
        most_x, most_y = self.most_sampling
        if len(components) > 1:
            return _BLOCK_PX * most_y, _BLOCK_PX * most_x
        x, y = self.sampling[components[0]]
        return _BLOCK_PX * most_y // y, _BLOCK_PX * most_x // x


@dataclass(frozen=True)
class _Scan:
    start: int
    end: int
    """Of the coded data."""
    stop: int
    """Where the next marker is."""
    components: tuple[int, ...]
    coefficients: range
    shift: int
    """Bits that a later scan has to add."""
    restart_interval: int


@dataclass
class JpegLayout:
    """The content of a JPEG's markers."""

    frame: _Frame | None = None
    scans: list[_Scan] = field(default_factory=list)
    has_end: bool = False
    """Whether the end mark follows the last scan."""

    @property
    def end(self) -> int:
        """Where the last scan's data end."""
        return self.scans[-1].end

    @property
    def covers_all(self) -> bool:
        """Whether the scans hold every coefficient of every component to the last bit."""
        assert self.frame is not None
        if not self.frame.progressive:
            return {each for scan in self.scans for each in scan.components} >= set(self.frame.sampling)
        complete = {(c, k) for scan in self.scans if not scan.shift for c in scan.components for k in scan.coefficients}
        return all((c, k) in complete for c in self.frame.sampling for k in range(_LAST_COEFFICIENT + 1))


def read_size(data: Bytes, *, what: str) -> tuple[int, int] | None:
    """Return (height, width); None if the header is not there."""
    frame = read_layout(data, what=what, frame_only=True).frame
    return None if frame is None else frame.size_hw


def read_layout(data: Bytes, *, what: str, frame_only: bool = False) -> JpegLayout:
    """Read the markers up to the end of the picture, and no further.

    Raises ImageError for more scans or parts than any encoder writes, which would take seconds.
    """
    buffer, layout, at, interval = _buffer(data), JpegLayout(), 2, 0
    for count in itertools.count():
        found = _MARKER.search(buffer, at)
        if found is None:
            break
        if count == _MOST_MARKERS:
            raise ImageError(f"{what} has more than {_MOST_MARKERS} parts, expected some twenty: it is damaged")
        at, marker = found.start(), buffer[found.start() + 1]
        if marker == _END_OF_IMAGE:
            layout.has_end = bool(layout.scans)
            break
        if marker in (_START_OF_IMAGE, _TEMPORARY) and not layout.scans:
            at += 2
            continue
        length = int.from_bytes(buffer[at + 2 : at + 4], "big")
        stop = at + 2 + length
        if length < 2 or stop > len(buffer):
            break
        body = bytes(buffer[at + 4 : stop])
        if marker in _FRAMES and layout.frame is None:
            layout.frame = _read_frame(body, marker)
            if layout.frame is None or frame_only:
                break
        elif marker == _RESTART_INTERVAL and len(body) >= 2:
            interval = int.from_bytes(body[:2], "big")
        elif marker == _START_OF_SCAN:
            scan = _read_scan(buffer, body, layout.frame, start=stop, interval=interval)
            if scan is None:
                break
            layout.scans.append(scan)
            if len(layout.scans) > _MOST_SCANS:
                raise ImageError(f"{what} has more than {_MOST_SCANS} scans, expected some ten: it is damaged")
            if layout.frame is not None and not layout.frame.progressive and layout.covers_all:
                layout.has_end = bytes(buffer[scan.stop : scan.stop + 2]) == _END.tobytes()
                break
            stop = scan.stop
        elif layout.scans and marker not in _BETWEEN_SCANS:
            break
        at = stop
    return layout


def _buffer(data: Bytes) -> memoryview:
    array: Any = np.ascontiguousarray(data)
    return memoryview(array)


def _read_frame(body: bytes, marker: int) -> _Frame | None:
    if len(body) < 6 or len(body) < 6 + 3 * body[5] or not body[5]:
        return None
    parts = [body[6 + 3 * i : 9 + 3 * i] for i in range(body[5])]
    sampling = {part[0]: (part[1] >> 4, part[1] & 15) for part in parts}
    if not all(x and y for x, y in sampling.values()):
        return None
    size_hw = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    return _Frame(size_hw, marker in _PROGRESSIVE, sampling)


def _read_scan(buffer: memoryview, body: bytes, frame: _Frame | None, *, start: int, interval: int) -> _Scan | None:
    if frame is None or not body or len(body) < 4 + 2 * body[0]:
        return None
    components = tuple(body[1 + 2 * i] for i in range(body[0]))
    if not components or not set(components) <= set(frame.sampling):
        return None
    first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
    following = _MARKER.search(buffer, start)
    stop = end = len(buffer) if following is None else following.start()
    if following is None:
        # A buffer of fixed length is padded with zeros.
        coded = bytes(buffer[start:stop])
        end = start + len(coded[: len(coded.rstrip(b"\0")) + _MOST_ZEROS])
    while end > start and buffer[end - 1] == _MARKER_START:
        end -= 1
    return _Scan(start, end, stop, components, range(first, last + 1), bits & 15, interval)


def with_end(data: Bytes, layout: JpegLayout) -> Bytes:
    """Return the picture alone, with an end mark."""
    if layout.has_end:
        return data[: layout.scans[-1].stop + 2]
    return np.concatenate([data[: layout.end], _END])


def explain_loss(data: Bytes, layout: JpegLayout, picture: NDArray[Any], decode: Decode) -> str:
    """Return which part of `picture`, as decoded from `with_end`, was missing in the data; "" if it is complete.

    An end mark alone proves nothing: some drivers append one to whatever they received. If the last pixels are not the
    gray of missing data, that check is all it costs. Other pictures, and progressive ones without an end mark, are
    decoded once more with noise behind the data: the pixels that change were missing.
    """
    frame = layout.frame
    assert frame is not None
    height = frame.size_hw[0]
    restarts = _rows_before_lost_restart(data, layout)
    lacking = not layout.has_end and not layout.covers_all
    cut = not layout.has_end and (len(layout.scans) > 1 or lacking)
    if restarts is None and not cut and not _ends_gray(picture, frame, layout.scans[-1]):
        return ""
    first = _first_changed_row(data, layout, picture, decode)
    if lacking and (len(layout.scans) > 1 or first is None):
        return f"all of its {height} rows lack detail or colour, because it ends in scan {len(layout.scans)} of more"
    known = [row for row in (first, restarts) if row is not None]
    if not known:
        return ""
    mcu_h = frame.mcu_hw(layout.scans[-1].components)[0]
    complete = -(-min(known) // mcu_h) * mcu_h
    return f"{max(height - complete, 1)} of its {height} rows are missing"


def _rows_before_lost_restart(data: Bytes, layout: JpegLayout) -> int | None:
    """Return how many rows precede the first lost one, by the count of restart marks; None if none is lost."""
    frame = layout.frame
    assert frame is not None
    height, width = frame.size_hw
    for scan in layout.scans:
        if not scan.restart_interval:
            continue
        mcu_h, mcu_w = frame.mcu_hw(scan.components)
        columns, rows = -(-width // mcu_w), -(-height // mcu_h)
        marks = len(_RESTART.findall(_buffer(data)[scan.start : scan.end]))
        if marks < -(-columns * rows // scan.restart_interval) - 1:
            return (marks + 1) * scan.restart_interval // columns * mcu_h
    return None


def _ends_gray(picture: NDArray[Any], frame: _Frame, scan: _Scan) -> bool:
    """Return whether the last pixels look like missing data; their chroma may have some of their neighbours'."""
    height, width = frame.size_hw
    mcu_h, mcu_w = frame.mcu_hw(scan.components)
    rows = min((height - 1) % mcu_h + 1, _BLOCK_PX)
    columns = min((width - 1) % mcu_w + 1, _BLOCK_PX)
    corner = picture[-rows:, -columns:]
    if len(frame.sampling) > 3:  # CMYK: missing data are plain, but of another colour
        return bool((corner == corner[-1, -1]).all())
    gray = cv2.cvtColor(np.ascontiguousarray(corner), cv2.COLOR_BGR2GRAY) if corner.ndim == 3 else corner
    return bool(np.abs(gray.astype(int) - _GRAY).max() <= 1)


def _first_changed_row(data: Bytes, layout: JpegLayout, picture: NDArray[Any], decode: Decode) -> int | None:
    """Return the first row that noise behind the data changes; None if the data hold all of the last scan."""
    noise = np.random.default_rng(0).integers(0, 255, _NOISE_BYTES, dtype=np.uint8)  # never ff, which begins markers
    other = decode(np.concatenate([data[: layout.end], noise, _END]))
    if other is None or other.shape != picture.shape:
        return 0
    changed = np.flatnonzero((other != picture).reshape(len(picture), -1).any(axis=1))
    return int(changed[0]) if changed.size else None
