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
from metric3d_ros.runs.manifest_lines import MANIFEST, SETTINGS, read_manifest
from metric3d_ros.runs.settings import check_settings
from metric3d_ros.runs.sources.frame import Chunk


class Manifest:
    """What is done of a run; of several lines about a frame, the last one counts.

    Attributes:
        forgotten: recordings of an earlier run of which no frame was done, whose lines were removed.
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
        """Begin a run in `folder`, or go on with one; a run of which no frame was done is begun anew.

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
        self._lines: dict[tuple[str, str], dict[str, Any]] = {}
        self._chunks: dict[str, list[dict[str, Any]]] = {}
        self._failed: dict[str, set[tuple[str, str]]] = {}
        self.forgotten: frozenset[str] = frozenset()
        about = folder / SETTINGS
        if self._path.exists():
            self._load()
            if not self.frames:
                self._forget()
            elif resume:
                check_settings(about, settings)
            else:
                raise DataError(
                    f"{named or folder} holds a run already: give --resume to go on with it, or another folder"
                )
        self._done_before = self._keys_by_recording()
        write_text(about, json.dumps(settings, indent=1) + "\n", durable=True)

    @property
    def frames(self) -> list[dict[str, Any]]:
        """The lines of frames that are done."""
        return [line for line in self._lines.values() if "failed" not in line]

    def failures_in(self, chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
        """Return the lines of frames that could not be done, but for pictures that are in none of these chunks now."""
        known = {chunk.recording for chunk in chunks if chunk.keys is not None}
        there = {(chunk.recording, key) for chunk in chunks for key in chunk.keys or ()}
        return [
            line
            for key, line in self._lines.items()
            if "failed" in line and (key in there or line["recording"] not in known)
        ]

    def _load(self) -> None:
        lines, size = read_manifest(self._path)
        if size < self._path.stat().st_size:
            os.truncate(self._path, size)
        of_chunk: list[dict[str, Any]] = []
        for line in lines:
            of_chunk.append(line)
            if "frame" not in line:
                self._take(of_chunk)
                of_chunk = []

    def _take(self, lines: Sequence[dict[str, Any]]) -> None:
        """Take the lines of a chunk's frames, and the chunk's own after them."""
        *frames, chunk = lines
        failed = self._failed.setdefault(chunk["chunk"], set())
        for line in frames:
            key = line["recording"], line["frame"]
            self._lines[key] = line
            if "failed" in line:
                failed.add(key)
        self._chunks.setdefault(chunk["chunk"], []).append(chunk)

    def _forget(self) -> None:
        """Begin anew: nothing was done, because of options that may be better now."""
        lines = [line for lines in self._chunks.values() for line in lines]
        self.forgotten = frozenset(str(line["recording"]) for line in lines)
        self._path.unlink()
        self._lines, self._chunks, self._failed = {}, {}, {}

    def _keys_by_recording(self) -> dict[str, frozenset[str]]:
        keys: dict[str, set[str]] = {}
        for line in self.frames:
            keys.setdefault(str(line["recording"]), set()).add(str(line["frame"]))
        return {name: frozenset(each) for name, each in keys.items()}

    def is_done(self, chunk: Chunk) -> bool:
        """Return whether each frame of a chunk was done or failed."""
        if chunk.keys is not None:
            return all((chunk.recording, key) in self._lines for key in chunk.keys)
        return any(
            line["complete"] and (line["start"], line["stop"]) == (chunk.start, chunk.stop)
            for line in self._chunks.get(chunk.key, ())
        )

    def has_failures(self, chunk: Chunk) -> bool:
        """Return whether frames of a chunk failed."""
        keys = self._failed.get(chunk.key, set())
        if chunk.keys is not None:
            keys = {(chunk.recording, key) for key in chunk.keys}
        return any("failed" in self._lines.get(key, ()) for key in keys)

    def fits(self, chunks: Sequence[Chunk]) -> bool:
        """Return whether all chunks of a recording that were completed are still cut alike: else it has changed."""
        now = {(chunk.key, chunk.start, chunk.stop) for chunk in chunks}
        names = {chunk.recording for chunk in chunks}
        return all(
            (line["chunk"], line["start"], line["stop"]) in now
            for lines in self._chunks.values()
            for line in lines
            if line["complete"] and line["recording"] in names
        )

    def done_before(self, recording: str) -> frozenset[str]:
        """Return the keys of the frames of a recording that were done when the manifest was opened."""
        return self._done_before.get(recording, frozenset())

    def part_name(self, chunk: Chunk) -> str:
        """Return a name for the next part of a chunk: another one if a part of it is done."""
        attempt = len(self._chunks.get(chunk.key, ()))
        return f"{chunk.recording}_{chunk.number:05d}" + (f"_{attempt}" if attempt else "")

    def bag_files(self, recording: str) -> list[str]:
        """Return the bag's storage files, in the order of the recording."""
        lines = [line for lines in self._chunks.values() for line in lines if line["recording"] == recording]
        lines.sort(key=lambda line: (line["number"], line["attempt"]))
        return [str(line["bag_file"]) for line in lines if line["bag_file"]]

    def video_files(self, recording: str) -> dict[str, list[str]]:
        """Return the parts of each stream's video, in the order of the recording."""
        lines = [line for lines in self._chunks.values() for line in lines if line["recording"] == recording]
        lines.sort(key=lambda line: (line["number"], line["attempt"]))
        found: dict[str, list[str]] = {}
        for line in lines:
            for stream, file in {"": line.get("video_file"), **(line.get("video_files") or {})}.items():
                if file:
                    found.setdefault(stream, []).append(str(file))
        return found

    def left_out(self, recording: str) -> Counter[str]:
        """Return how many frames of a recording options left out, by the option, in the chunks that were begun."""
        counts: Counter[str] = Counter()
        for lines in self._chunks.values():
            if lines[-1]["recording"] == recording:
                whole = [line for line in lines if line["complete"]]  # a retry that was stopped has not counted all
                counts.update((whole or lines)[-1].get("left_out") or {})
        return counts

    def append(
        self,
        chunk: Chunk,
        lines: Sequence[dict[str, Any]],
        *,
        complete: bool,
        bag_file: str = "",
        videos: Mapping[str, str] | None = None,
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        """Add the lines of a chunk, or of the part of it that was done, at once.

        `videos` has the part of each stream's video, and `left_out` how many of its frames options left out, by the
        option. What changes nothing adds no line: a retry that failed as before, or a part without a frame.
        """
        is_known = all(line == self._lines.get((line["recording"], line["frame"])) for line in lines)
        if is_known and (chunk.is_retry or not complete):
            return
        videos = videos or {}
        about = {
            "chunk": chunk.key,
            "recording": chunk.recording,
            "number": chunk.number,
            "attempt": len(self._chunks.get(chunk.key, ())),
            "start": chunk.start,
            "stop": chunk.stop,
            "complete": complete,
            "bag_file": bag_file,
            "video_file": videos.get("", ""),
            "video_files": {stream: file for stream, file in videos.items() if stream},
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
        self._take((*lines, about))
