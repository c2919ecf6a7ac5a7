"""Which recordings a user's words name: images, folders of them, patterns, videos, bags."""

import dataclasses
import glob
from collections.abc import Sequence
from pathlib import Path

from metric3d_ros.codecs.sixteen_bits import AUTO_RANGE
from metric3d_ros.errors import DataError, Metric3DError
from metric3d_ros.files.boundary import one_line_about
from metric3d_ros.files.remote import matching_paths, path_of
from metric3d_ros.recordings.bags.reader import is_bag
from metric3d_ros.recordings.images import IMAGE_SUFFIXES, list_images, natural_order
from metric3d_ros.runs.sources.bag_images import BagImages
from metric3d_ros.runs.sources.cameras import CameraChoice
from metric3d_ros.runs.sources.frame import Recording
from metric3d_ros.runs.sources.image_files import ImageFiles
from metric3d_ros.runs.sources.video_files import VIDEO_SUFFIXES, VideoFile


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Which frames of the recordings, and which cameras they have; the attributes are those of the options."""

    cameras: CameraChoice = dataclasses.field(default_factory=CameraChoice)
    topics: tuple[str, ...] = ()
    start_s: float = 0.0
    end_s: float = 0.0
    every: int = 1
    fps: float = 0.0
    rectified: bool | None = None
    sixteen_bit_range: str = AUTO_RANGE


def open_recordings(
    inputs: Sequence[str | Path], selection: Selection | None = None, *, strict: bool = True
) -> tuple[list[Recording], list[str]]:
    """Return the recordings that `inputs` name, and a line for each that cannot be used.

    Raises DataError for the first of these if `strict`, or if nothing is left.
    """
    selection = selection or Selection()
    recordings: list[Recording] = []
    failures: list[str] = []
    names: set[str] = set()
    pictures = [path_of(each) for each in inputs if _is_picture(each)]
    together = len(pictures) > 1
    if together:
        name = _name(pictures[0].absolute().parent, names)
        about = f"{pictures[0]} and {len(pictures) - 1} more"
        recordings.append(
            ImageFiles(
                name=name,
                source=about,
                paths=pictures,
                cameras=selection.cameras,
                every=selection.every,
                rectified=selection.rectified,
            )
        )
    for source in inputs:
        if together and _is_picture(source):
            continue
        try:
            with one_line_about(str(source), DataError, what="input", remedy="check the path and your access to it"):
                found = _open(source, selection, names)
        except Metric3DError as error:
            if strict:
                raise
            failures.append(str(error))
            continue
        recordings += found
    if not recordings:
        raise DataError("; ".join(failures) or "no input was named; expected images, folders, videos or bags")
    return recordings, failures


def _open(source: str | Path, selection: Selection, names: set[str]) -> list[Recording]:
    path = path_of(source)
    if is_bag(path):
        return [
            BagImages(
                name=_name(path, names),
                source=str(path),
                cameras=selection.cameras,
                topics=selection.topics,
                start_s=selection.start_s,
                end_s=selection.end_s,
                every=selection.every,
                fps=selection.fps,
                rectified=selection.rectified,
                sixteen_bit_range=selection.sixteen_bit_range,
            )
        ]
    if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
        return [
            VideoFile(
                name=_name(path, names),
                source=str(path),
                cameras=selection.cameras,
                start_s=selection.start_s,
                end_s=selection.end_s,
                every=selection.every,
                fps=selection.fps,
                rectified=selection.rectified,
            )
        ]
    if glob.has_magic(str(path)) and not path.exists():
        matches = sorted(matching_paths(path), key=natural_order)
        others = [each for each in matches if is_bag(each) or each.suffix.lower() in VIDEO_SUFFIXES]
        if others:
            return [recording for each in others for recording in _open(each, selection, names)]
    return [
        ImageFiles(
            name=_name(path, names),
            source=str(path),
            paths=list_images(path),
            cameras=selection.cameras,
            every=selection.every,
            rectified=selection.rectified,
        )
    ]


def _is_picture(source: str | Path) -> bool:
    path = path_of(source)
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _name(path: Path, names: set[str]) -> str:
    """Return a folder's name for the outputs of a path that no other has."""
    path = path.absolute()
    is_file = path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES | {".bag", ".mcap", ".db3"}
    wanted = path.stem if is_file else path.name
    if glob.has_magic(wanted):
        wanted = path.parent.name
    wanted = wanted or "recording"
    name = next(each for each in (wanted, *(f"{wanted}-{i}" for i in range(2, 1 << 20))) if each not in names)
    names.add(name)
    return name
