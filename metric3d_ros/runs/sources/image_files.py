"""Image files as a recording."""

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from metric3d_ros.errors import Metric3DError
from metric3d_ros.geometry import turn_upright
from metric3d_ros.out_of_memory import needing_memory
from metric3d_ros.recordings.bags.message_classes import Header, Time
from metric3d_ros.recordings.exif import read_exif
from metric3d_ros.recordings.images import read_rgb
from metric3d_ros.runs.sources.cameras import CameraChoice, upright
from metric3d_ros.runs.sources.frame import BY_EVERY, CORRUPT, NO_CAMERA, Chunk, Failed, Frame

FRAME_ID = "camera_optical_frame"
_PERIOD_NS = 100_000_000


@dataclasses.dataclass(kw_only=True)
class ImageFiles:
    """Pictures in natural order. They have no stamps, so they get those of 10 images a second, from 0 on.

    EXIF's orientation is applied, and its 35 mm focal length used if nothing else is given.

    Attributes:
        every: only every n-th picture.
        rectified: whether pictures are rectified; None is no, for nothing tells it.
    """

    name: str
    source: str
    paths: Sequence[Path]
    cameras: CameraChoice
    every: int = 1
    rectified: bool | None = None

    def chunks(self, frames: int) -> list[Chunk]:
        """Cut it into runs of consecutive pictures."""
        names, step = self._names, max(1, frames) * self.every
        return [
            Chunk(
                recording=self.name,
                number=i,
                start=start,
                stop=min(len(names), start + step),
                keys=tuple(names[start : start + step : self.every]),
            )
            for i, start in enumerate(range(0, len(names), step))
        ]

    @functools.cached_property
    def _names(self) -> list[str]:
        return _unique_names(self.paths)

    def count(self) -> int:
        """Return how many pictures there are."""
        return -(-len(self.paths) // self.every)

    def ended_early(self, chunk: Chunk) -> bool:
        """Return False: a picture that was cut off has failed, which is known."""
        return False

    def total(self) -> int:
        """Return 0: all pictures are read."""
        return 0

    def remarks(self) -> list[str]:
        """Return nothing: each picture speaks for itself."""
        return []

    def read(
        self, chunk: Chunk, *, done: frozenset[str] = frozenset(), left_out: Counter[str] | None = None
    ) -> Iterator[Frame | Failed]:
        """Yield the pictures of a chunk."""
        if left_out is not None and self.every > 1:
            left_out[BY_EVERY] += chunk.stop - chunk.start - len(range(chunk.start, chunk.stop, self.every))
        for number in range(chunk.start, chunk.stop, self.every):
            if self._names[number] not in done:
                yield self._read_one(number, self._names[number])

    def _read_one(self, number: int, name: str) -> Frame | Failed:
        path = self.paths[number]
        exif = read_exif(path)
        kind = CORRUPT
        try:
            with needing_memory(f"reading {path}", remedy="make it smaller, or use a computer with more memory"):
                rgb = read_rgb(path)
            kind = NO_CAMERA
            camera, focal_from = self.cameras.camera_of_picture(
                rgb.shape[1], rgb.shape[0], exif, rectified=bool(self.rectified)
            )
        except Metric3DError as error:
            return Failed(name, str(error), kind)
        if exif.rotate_deg:
            rgb, camera = turn_upright(rgb, exif.rotate_deg), upright(camera, exif)
            focal_from += f", turned by {exif.rotate_deg} degrees (EXIF orientation {exif.orientation})"
        stamp_ns = number * _PERIOD_NS
        header = Header(Time.from_ns(stamp_ns), FRAME_ID)
        return Frame(name=name, rgb=rgb, camera=camera, focal_from=focal_from, header=header, received_ns=stamp_ns)


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Return the stem of each path; with its suffix if two pictures share one, as a.jpg and a.png do.

    Pictures of one name from several folders, or one picture given twice, are numbered: a.png, a.png_2.
    """
    count = Counter(path.stem for path in paths)
    names: dict[str, None] = {}
    for path in paths:
        wanted = path.stem if count[path.stem] == 1 else path.name
        numbered = (f"{wanted}_{number}" for number in itertools.count(2))
        names[next(name for name in itertools.chain([wanted], numbered) if name not in names)] = None
    return list(names)
