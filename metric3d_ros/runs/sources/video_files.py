"""A video file as a recording, read with PyAV."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from metric3d_ros.camera import Camera
from metric3d_ros.errors import DataError, Metric3DError
from metric3d_ros.files.remote import is_remote, path_of
from metric3d_ros.geometry import turn_upright, upright_camera
from metric3d_ros.messages.stamps import NS_PER_S
from metric3d_ros.out_of_memory import is_out_of_memory
from metric3d_ros.recordings.bags.message_classes import Header, Time
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.frame import BY_EVERY, BY_FPS, NO_CAMERA, Chunk, Failed, Frame, plausible_count
from metric3d_ros.runs.sources.image_files import FRAME_ID

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".ts"})
_NEVER_NS = 1 << 62
_MOST_LEFT_NS = NS_PER_S
"""So much shorter than it states is a video as long as its sound; more, and it was cut off."""


@dataclasses.dataclass(kw_only=True)
class VideoFile:
    """The first video stream of a file. A frame's stamp is its presentation time, so rates may vary.

    The file's rotation is applied. A video states no focal length: one has to be given.

    Attributes:
        every: only every n-th frame of a chunk.
        fps: at most so many frames a second, evenly; 0 for all.
        rectified: whether frames are rectified; None is no, for nothing tells it.
    """

    name: str
    source: str
    cameras: CameraChoice
    start_s: float = 0.0
    end_s: float = 0.0
    every: int = 1
    fps: float = 0.0
    rectified: bool | None = None

    def __post_init__(self) -> None:
        self._remarks: list[str] = []
        self._ended_early: set[tuple[int, int]] = set()
        with _opened(self.source) as container:
            stream = _stream_of(container, self.source)
            self._camera(stream.codec_context.width, stream.codec_context.height)
            duration_s = float(stream.duration * stream.time_base) if stream.duration else 0.0
            duration_s = duration_s or (container.duration or 0) / 1e6
            self._total = int(stream.frames or 0)
            rate = float(stream.average_rate or stream.guessed_rate or 25)
        self._stated_s = duration_s
        is_cut = bool(self.end_s) and not 0 < duration_s <= self.end_s
        end_s = self.end_s if is_cut else duration_s
        self._span_ns = (round(self.start_s * NS_PER_S), round(end_s * NS_PER_S))
        # The stated duration may leave out the last frame, or be missing: the last chunk goes on to the end.
        self._stop_ns = self._span_ns[1] if is_cut else _NEVER_NS
        frames = rate * max(0.0, end_s - self.start_s)
        stated = round(min(frames, self.fps * frames / rate) if self.fps else frames / self.every)
        self._count = max(1, plausible_count(stated, path_of(self.source)))

    def chunks(self, frames: int) -> list[Chunk]:
        """Cut it by time, as if frames came at an even rate."""
        start_ns, stop_ns = self._span_ns
        if self._stop_ns <= start_ns:
            return []
        number = max(1, -(-self._count // max(1, frames)))
        cuts = [start_ns + (stop_ns - start_ns) * i // number for i in range(number)]
        stops = [*cuts[1:], self._stop_ns]
        return [Chunk(recording=self.name, number=i, start=cuts[i], stop=stops[i]) for i in range(number)]

    def count(self) -> int:
        """Return how many frames there are, by duration and rate."""
        return self._count

    def ended_early(self, chunk: Chunk) -> bool:
        """Return whether the file ended before a chunk that was read, or in it, and before it should."""
        return (chunk.start, chunk.stop) in self._ended_early

    def total(self) -> int:
        """Return how many frames the file states if --start or --end cut some off; else 0."""
        return self._total if self.start_s or self.end_s else 0

    def remarks(self) -> list[str]:
        """Return what is wrong with the video."""
        return list(dict.fromkeys(self._remarks))

    def read(
        self, chunk: Chunk, *, done: frozenset[str] = frozenset(), left_out: Counter[str] | None = None
    ) -> Iterator[Frame | Failed]:
        """Yield the frames of a chunk."""
        self._ended_early.discard((chunk.start, chunk.stop))
        with _opened(self.source) as container:
            stream = _stream_of(container, self.source)
            stream.thread_type = "AUTO"
            origin = stream.start_time or 0
            if chunk.start:
                # From the start of its tick: the frame that was taken of it may be in the chunk before.
                start_s = chunk.start / NS_PER_S
                start_s = max(self.start_s, int(start_s * self.fps) / self.fps) if self.fps else start_s
                container.seek(origin + int(start_s / stream.time_base), stream=stream)
            number, tick = 0, -1
            left_out = Counter() if left_out is None else left_out
            stamp_ns, broke_off = chunk.start, len(self._remarks)
            for picture in self._pictures(container, stream):
                if picture.pts is None:
                    continue
                stamp_ns = round((picture.pts - origin) * stream.time_base * NS_PER_S)
                if stamp_ns >= chunk.stop:
                    return
                if stamp_ns < self._span_ns[0]:  # no chunk has it: a tick that --start cuts begins there
                    continue
                is_new_tick = not self.fps or int(stamp_ns / NS_PER_S * self.fps + 1e-6) > tick
                tick = int(stamp_ns / NS_PER_S * self.fps + 1e-6)
                if stamp_ns < chunk.start:
                    continue
                number += 1
                if not is_new_tick:
                    left_out[BY_FPS] += 1
                    continue
                name = f"{stamp_ns // NS_PER_S:05d}.{stamp_ns % NS_PER_S:09d}"
                if not self.fps and (number - 1) % self.every:
                    left_out[BY_EVERY] += 1
                    continue
                if name not in done:
                    yield self._frame(picture, stamp_ns, name)
            is_short = self._span_ns[1] - stamp_ns > _MOST_LEFT_NS
            if is_short or not number or len(self._remarks) > broke_off:
                self._ended_early.add((chunk.start, chunk.stop))
            if is_short:
                ends = f"it ends at {stamp_ns / NS_PER_S:.1f} s, and states {self._stated_s:.1f} s"
                self._remarks.append(f"{ends}: what is complete in it was read")

    def _pictures(self, container: Any, stream: Any) -> Iterator[Any]:
        try:
            yield from container.decode(stream)
        except Exception as error:  # besides PyAV's, those of the store that a file at a URL is read from
            if is_out_of_memory(error):  # the rest of the video is as good as it was
                raise
            self._remarks.append(f"reading stopped early: {error}")

    def _camera(self, width: int, height: int) -> tuple[Camera, str]:
        return self.cameras.camera(width, height, rectified=bool(self.rectified))

    def _frame(self, picture: Any, stamp_ns: int, name: str) -> Frame | Failed:
        rgb = np.ascontiguousarray(picture.to_ndarray(format="rgb24"))
        try:
            camera, focal_from = self._camera(rgb.shape[1], rgb.shape[0])
        except Metric3DError as error:
            return Failed(name, str(error), NO_CAMERA)
        rotate_deg = round(-float(getattr(picture, "rotation", 0) or 0)) % 360
        if rotate_deg in (90, 180, 270):
            rgb, camera = turn_upright(rgb, rotate_deg), upright_camera(camera, rotate_deg)
            focal_from += f", turned by {rotate_deg} degrees (the video's rotation)"
        header = Header(Time.from_ns(stamp_ns), FRAME_ID)
        return Frame(name=name, rgb=rgb, camera=camera, focal_from=focal_from, header=header, received_ns=stamp_ns)


@contextlib.contextmanager
def _opened(source: str) -> Iterator[Any]:
    try:
        import av
    except ImportError as error:
        raise DataError(f"{source}: reading videos needs PyAV: pip install '.[video]' in the source folder") from error
    path = path_of(source)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb")) if is_remote(path) else str(path)
            container = stack.enter_context(av.open(file))
        except Exception as error:  # besides PyAV's, those of the store that a file at a URL is read from
            raise DataError(f"{source} is no video that can be read ({error})") from error
        yield container


def _stream_of(container: Any, source: str) -> Any:
    if not container.streams.video:
        raise DataError(f"{source} holds no video stream")
    return container.streams.video[0]
