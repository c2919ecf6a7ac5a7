"""How long a run will take and how much it will write, from its first frames."""

import dataclasses
import time
from collections.abc import Sequence

from metric3d_ros.errors import DataError
from metric3d_ros.files.atomic import scratch_folder
from metric3d_ros.runs.options import RunOptions
from metric3d_ros.runs.pipeline import Finished, Line, Pipeline
from metric3d_ros.runs.sources.frame import Frame, Recording, first_item

_FRAMES = 3


@dataclasses.dataclass(frozen=True)
class Trial:
    """What was measured."""

    frames: int
    seconds_per_frame: float
    bytes_per_frame: float


def try_frames(recordings: Sequence[Recording], options: RunOptions) -> Trial:
    """Do the first frames of the first recording into a temporary folder, and measure; DataError if none can be."""
    recording = recordings[0]
    found = first_item(recording, frames=_FRAMES)
    chunks = [] if found is None else [found[0]]
    estimator = options.estimator()
    written = 0
    frames: list[Line] = []
    failures: list[Line] = []

    def finish(part: Finished) -> None:
        nonlocal written
        written += sum(file.stat().st_size for file in part.folder.rglob("*") if file.is_file())
        for line in part.lines:
            (failures if "failed" in line else frames).append(line)

    with scratch_folder("metric3d_trial") as folder:
        pipeline = Pipeline(estimator, options, {recording.name: recording})
        if found is not None and isinstance(found[1], Frame):
            estimator.warm_up(found[1].rgb.shape[:2])
        started_s = time.monotonic()
        pipeline.run(((chunk, frozenset()) for chunk in chunks), lambda _: folder / "part", finish)
        took_s = time.monotonic() - started_s
    if not frames:
        reason = f", {failures[0]['frame']}: {failures[0]['failed']}" if failures else ": there is none"
        raise DataError(f"{recording.source}: none of the first frames can be used{reason}")
    return Trial(len(frames), took_s / len(frames), written / len(frames))
