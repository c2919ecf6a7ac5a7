"""The manifest of a run: a line of JSON for each frame, appended when a chunk's files are in place."""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metric3d_ros.errors import DataError
from metric3d_ros.files.atomic import write_text
from metric3d_ros.files.boundary import one_line_about, read_text
from metric3d_ros.files.excerpts import excerpt, shorten
from metric3d_ros.runs.manifest_lines import MANIFEST, SETTINGS, read_manifest
from metric3d_ros.runs.sources.frame import Chunk


class Manifest:
    """What is done of a run.

    Attributes:
        frames: the lines of frames that are done, in the order of the file.
        failures: the lines of frames that cannot be done.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        resume: bool,
        named: str = "",
        on_append: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Begin a run in `folder`, or go on with one.

        Args:
            settings: what has to be the same if a run goes on.
            resume: go on with the run that is there, if there is one.
            named: what messages call the folder, if that is another name.
            on_append: gets the text of the lines that are added.

        Raises:
            DataError: there is a run already, or the one to go on with has other settings.
        """
        self._path = folder / MANIFEST
        self._on_append = on_append
        self.frames: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self._chunks: dict[str, list[dict[str, Any]]] = {}
        about = folder / SETTINGS
        if self._path.exists():  # without, nothing was done: the model could not be had, or the process died
            if not resume:
                raise DataError(
                    f"{named or folder} holds a run already: give --resume to go on with it, or another folder"
                )
            _check_settings(about, settings)
            self._load()
        write_text(about, json.dumps(settings, indent=1) + "\n", durable=True)

    def _load(self) -> None:
        lines, size = read_manifest(self._path)
        if size < self._path.stat().st_size:
            os.truncate(self._path, size)
        for line in lines:
            self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "frame" not in line:
            self._chunks.setdefault(line["chunk"], []).append(line)
        elif "failed" in line:
            self.failures.append(line)
        else:
            self.frames.append(line)

    def is_done(self, chunk: Chunk) -> bool:
        """Return whether nothing of a chunk is missing."""
        return any(
            line["complete"] and (line["start"], line["stop"]) == (chunk.start, chunk.stop)
            for line in self._chunks.get(chunk.key, ())
        )

    def part_name(self, chunk: Chunk) -> str:
        """Return a name for the next part of a chunk: another one if a part of it is done."""
        attempt = len(self._chunks.get(chunk.key, ()))
        return f"{chunk.recording}_{chunk.number:05d}" + (f"_{attempt}" if attempt else "")

    def done_keys(self, recording: str) -> frozenset[str]:
        """Return the keys of the frames of a recording that are done, or cannot be."""
        lines = (*self.frames, *self.failures)
        return frozenset(str(line["frame"]) for line in lines if line["recording"] == recording)

    def bag_files(self, recording: str) -> list[str]:
        """Return the bag's storage files, in the order of the recording."""
        lines = [line for lines in self._chunks.values() for line in lines if line["recording"] == recording]
        lines.sort(key=lambda line: (line["number"], line["attempt"]))
        return [str(line["bag_file"]) for line in lines if line["bag_file"]]

    def video_files(self, recording: str) -> list[str]:
        """Return the parts of the video, in the order of the recording."""
        lines = [line for lines in self._chunks.values() for line in lines if line["recording"] == recording]
        lines.sort(key=lambda line: (line["number"], line["attempt"]))
        return [str(line["video_file"]) for line in lines if line.get("video_file")]

    def left_out(self, recording: str) -> Counter[str]:
        """Return how many frames of a recording options left out, by the option, in the chunks that were begun."""
        counts: Counter[str] = Counter()
        for lines in self._chunks.values():
            if lines[-1]["recording"] == recording:
                counts.update(lines[-1].get("left_out") or {})
        return counts

    def append(
        self,
        chunk: Chunk,
        lines: Sequence[dict[str, Any]],
        *,
        complete: bool,
        bag_file: str = "",
        video_file: str = "",
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        """Add the lines of a chunk, or of the part of it that was done, at once.

        `left_out` has how many of its frames options left out, by the option.
        """
        about = {
            "chunk": chunk.key,
            "recording": chunk.recording,
            "number": chunk.number,
            "attempt": len(self._chunks.get(chunk.key, ())),
            "start": chunk.start,
            "stop": chunk.stop,
            "complete": complete,
            "bag_file": bag_file,
            "video_file": video_file,
            "left_out": {name: count for name, count in (left_out or {}).items() if count},
        }
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in (*lines, about))
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("ab") as file:
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            self._on_append(text)
        except (OSError, DataError):
            with contextlib.suppress(OSError):
                os.truncate(self._path, size)
            raise
        for line in (*lines, about):
            self._take(line)


def _check_settings(about: Path, settings: Mapping[str, Any]) -> None:
    remedy = "the run cannot be resumed; give another folder"
    with one_line_about(about, DataError, what="settings of a run", remedy=remedy):
        before = dict(json.loads(read_text(about, error=DataError, remedy=remedy)))
    now = json.loads(json.dumps(settings))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise DataError(
                f"the run of {about} was begun with {shorten(name, 80)} {excerpt(before.get(name))}, and is to go on "
                f"with {excerpt(now.get(name))}: give the same options, or another folder"
            )
