"""Videos written with PyAV: H.264 in MP4, a frame at its own time."""

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from metric3d_ros.errors import DataError
from metric3d_ros.files.atomic import replacing, scratch_folder
from metric3d_ros.files.boundary import one_line_about

_TIME_BASE = Fraction(1, 90_000)
_LAST_FRAME_NS = 100_000_000
_REMEDY = "copy it back, or run again into another folder"


class VideoWriter:
    """A video in the making; frames of another size are fitted into its size, with black borders."""

    def __init__(self, path: Path, size_hw: tuple[int, int]) -> None:
        """Begin it; DataError if PyAV is not installed."""
        av = _import_av()
        self._av = av
        self._container: Any = av.open(str(path), "w")
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._stream: Any = self._container.add_stream(codec, rate=30)
        self._stream.height, self._stream.width = size_hw
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = _TIME_BASE
        self._stream.codec_context.max_b_frames = 0  # decoded in the order in which they are shown, parts can be joined
        self._size_hw = size_hw
        self._first_ns: int | None = None
        self._last_pts = -1

    def write(self, rgb: npt.NDArray[np.uint8], stamp_ns: int) -> None:
        """Add a picture (H, W, 3); one whose stamp is not after that before comes a moment after it."""
        if rgb.shape[:2] != self._size_hw:
            rgb = _fit_into(rgb, self._size_hw)
        if self._first_ns is None:
            self._first_ns = stamp_ns
        pts = max(self._last_pts + 1, round((stamp_ns - self._first_ns) * _TIME_BASE.denominator / 1e9))
        self._last_pts = pts
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts, frame.time_base = pts, _TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Complete the file; whatever this raises, it is closed then."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.mux(self._stream.encode())
            finally:
                container.close()

    def abort(self) -> None:
        """Close the file, which is not wanted any more; never raises, so that the error before it is the one seen."""
        container, self._container = self._container, None
        if container is not None:
            with contextlib.suppress(Exception):
                container.close()


def join_videos(parts: Sequence[Path], target: Path) -> None:
    """Write one video of parts that one encoder made; only parts of another size than the first are encoded again.

    Raises DataError for a part that is gone or cannot be read, and OSError if the video cannot be written.
    """
    av = _import_av()
    with (
        scratch_folder("metric3d_video") as scratch,
        replacing(target) as file,
        _open_to_write(file, target) as output,
    ):
        parts = _of_one_size(parts, scratch)
        stream: Any = None
        offset = 0
        for part in parts:
            with av.open(str(part)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = output.add_stream_from_template(video)
                end = offset
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    scale = packet.time_base / _TIME_BASE
                    packet.pts = offset + round(packet.pts * scale)
                    packet.dts = offset + round(packet.dts * scale)
                    end = max(end, packet.pts + round((packet.duration or 0) * scale))
                    packet.time_base, packet.stream = _TIME_BASE, stream
                    output.mux(packet)
                offset = end + round(_LAST_FRAME_NS * _TIME_BASE.denominator / 1e9)


@contextlib.contextmanager
def _open_to_write(file: BinaryIO, target: Path) -> Iterator[Any]:
    """Yield an MP4 file that grows in an open file, which will be `target`; its OSError names that.

    PyAV opens it by name: if it writes to a Python file object, it prints or wraps the errors.
    """
    name = f"/proc/self/fd/{file.fileno()}"
    try:
        with _import_av().open(name, "w", format="mp4") as output:
            yield output
    except OSError as error:
        if error.filename != name:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from error


def _of_one_size(parts: Sequence[Path], scratch: Path) -> list[Path]:
    """Return parts of one size: those of another one as new files in the folder `scratch`."""
    av = _import_av()
    same: list[Path] = []
    size_hw: tuple[int, int] | None = None
    for number, part in enumerate(parts):
        found_hw = _size_of(part)
        size_hw = size_hw or found_hw
        if found_hw != size_hw:
            fitted = scratch / f"{number}.mp4"
            writer = VideoWriter(fitted, size_hw)
            with av.open(str(part)) as source:
                for picture in source.decode(source.streams.video[0]):
                    writer.write(picture.to_ndarray(format="rgb24"), round(picture.pts * picture.time_base * 10**9))
            writer.close()
            part = fitted
        same.append(part)
    return same


def _size_of(part: Path) -> tuple[int, int]:
    with (
        one_line_about(part, DataError, what="part of a video", remedy=_REMEDY),
        _import_av().open(str(part)) as source,
    ):
        context = source.streams.video[0].codec_context
        return context.height, context.width


def _fit_into(rgb: npt.NDArray[np.uint8], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return a picture (h, w, 3) scaled into the middle of a black one of `size_hw`."""
    factor = min(size_hw[0] / rgb.shape[0], size_hw[1] / rgb.shape[1])
    height, width = (
        max(1, min(limit, round(side * factor))) for side, limit in zip(rgb.shape[:2], size_hw, strict=True)
    )
    top, left = (size_hw[0] - height) // 2, (size_hw[1] - width) // 2
    fitted = np.zeros((*size_hw, 3), np.uint8)
    fitted[top : top + height, left : left + width] = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    return fitted


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise DataError("writing videos needs PyAV: pip install '.[video]' in the source folder") from error
    return av
