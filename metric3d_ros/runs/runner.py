"""A whole run: its plan, its chunks one after another or on Ray, its manifest, and its summary."""

import contextlib
import dataclasses
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metric3d_ros.errors import DataError
from metric3d_ros.files.atomic import scratch_folder
from metric3d_ros.files.exclusive import hold_folder_at_once
from metric3d_ros.files.remote import hold_url_at_once, is_of_one_process, is_remote, path_of
from metric3d_ros.interruption import ending_signals
from metric3d_ros.recordings.bags.writer import write_metadata
from metric3d_ros.recordings.videos import join_videos
from metric3d_ros.runs.manifest import Manifest
from metric3d_ros.runs.options import BAG, HTML, VIDEO, RunOptions
from metric3d_ros.runs.outputs.page import write_page
from metric3d_ros.runs.outputs.part_files import check_apart, film_name, move_into_place, remove_joined_files
from metric3d_ros.runs.outputs.remote_folder import RemoteFolder
from metric3d_ros.runs.pipeline import Finished, Line, Pipeline
from metric3d_ros.runs.sources.bag_images import BagImages
from metric3d_ros.runs.sources.frame import NOT_ESTIMATED, Chunk, Recording

PARTS = ".parts"
BY_SPAN, BY_LIMIT = "--start and --end", "--limit"


@dataclasses.dataclass(kw_only=True)
class Summary:
    """What became of a run.

    Attributes:
        done: frames that were written now.
        before: frames that were there already.
        failed: frames that cannot be done, with the reason, by their keys.
        failed_by_kind: how many of these are corrupt, have no camera or could not be estimated.
        left_out: how many frames options left out, by the option; --limit's number is about right.
        remarks: what is wrong with recordings that were done all the same.
        interrupted: it was stopped before its end.
        seconds: how long it took.
    """

    done: int = 0
    before: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    failed_by_kind: Counter[str] = dataclasses.field(default_factory=Counter)
    left_out: Counter[str] = dataclasses.field(default_factory=Counter)
    remarks: list[str] = dataclasses.field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 if all is done, 1 if something failed, 130 if it was interrupted."""
        return 130 if self.interrupted else int(bool(self.failed) or not (self.done or self.before))


class Run:
    """A run in a folder: it can be stopped at any moment, and resumed."""

    def __init__(
        self,
        recordings: Sequence[Recording],
        folder: str | Path,
        options: RunOptions,
        *,
        settings: Mapping[str, Any] | None = None,
        resume: bool = False,
        limit: int = 0,
        on_frame: Callable[[Line], None] = lambda _: None,
    ) -> None:
        """Plan it.

        Args:
            settings: what else has to be the same if it is resumed.
            resume: go on with the run that is in the folder, if there is one.
            limit: at most so many frames, of all recordings together; 0 for all.
            on_frame: gets the manifest's line of each frame.

        Raises DataError if the folder holds a run and `resume` is false, or one with other settings, or if another
        process works on it.
        """
        self.folder = path_of(folder)
        self.remote = RemoteFolder(self.folder) if is_remote(self.folder) else None
        """Where results go, if that is a URL."""
        self._open = contextlib.ExitStack()
        self._work = self._open.enter_context(_hold(self.folder))
        self.options = options
        self.recordings = {recording.name: recording for recording in recordings}
        sources = {recording.name: recording.source for recording in recordings}
        about = {"inputs": sources, **options.to_json(), **(settings or {})}
        with self._closing_on_error():
            for name, source in sources.items():
                check_apart(self.folder, name, source)
            if self.remote is not None:
                self.remote.restore(self._work)
            add_lines = self.remote.add_lines if self.remote is not None else lambda _: None
            with self.remote.named_for(self._work) if self.remote is not None else contextlib.nullcontext():
                self.manifest = Manifest(self._work, about, resume=resume, named=str(folder), on_append=add_lines)
            self._check_unchanged()
            forgotten = sorted(self.manifest.forgotten & self.recordings.keys())
            for name in forgotten:
                remove_joined_files(self._work, name)
            if self.remote is not None:
                if self.manifest.forgotten:
                    self.remote.forget(forgotten)
                self.remote.keep_settings(self._work)
        self.summary = Summary(before=len(self.manifest.frames))
        self._limit = limit
        self._user_on_frame = on_frame
        self._pipeline: Pipeline | None = None
        self._stopped = threading.Event()
        shutil.rmtree(self._work / PARTS, ignore_errors=True)  # of a process that was killed

    @property
    def chunks(self) -> list[Chunk]:
        """All chunks of all recordings, in order."""
        return [
            chunk for recording in self.recordings.values() for chunk in recording.chunks(self.options.chunk_frames)
        ]

    def missing(self) -> Iterator[tuple[Chunk, frozenset[str]]]:
        """Yield the chunks that are not done, or in which frames failed before, each with the keys that were done."""
        retried = {chunk.key for chunk in self.chunks if self.manifest.has_failures(chunk)}
        for chunk in self.chunks:
            is_done = self.manifest.is_done(chunk)
            if not is_done or chunk.key in retried:
                yield dataclasses.replace(chunk, is_retry=is_done), self.manifest.done_before(chunk.recording)

    def count(self) -> int:
        """Return how many frames there are in all, about."""
        frames = sum(recording.count() for recording in self.recordings.values())
        return min(frames, self._limit) if self._limit else frames

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Complete the frames on their way, and leave the rest."""
        self._stopped.set()
        if self._pipeline is not None:
            self._pipeline.stop.set()

    def run(self, *, ray_address: str = "", workers: int = 0) -> Summary:
        """Do what is missing, and return what became of it; signals that end a program stop it in order.

        Args:
            ray_address: "local" or the address of a Ray cluster; "" for this process.
            workers: of Ray; 0 for one for each CPU.

        Raises Metric3DError or OSError for what stops a run; what is done by then is complete, and can be resumed.
        """
        started_s = time.monotonic()
        is_sound = False
        with _stopping_on_signals(self.stop):
            try:
                if ray_address:
                    self._check_seen_by_others()
                    from metric3d_ros.runs.on_ray import run_on_ray

                    run_on_ray(self, ray_address, workers=workers)
                else:
                    self._pipeline = Pipeline(
                        self.options.estimator(),
                        self.options,
                        self.recordings,
                        on_frame=self._note_frame,
                        limit=max(0, self._limit - self.summary.before) if self._limit else None,
                    )
                    if self._stopped.is_set():
                        self._pipeline.stop.set()
                    self._pipeline.run(self.missing(), self.part_folder, self.commit)
                is_sound = True
            finally:
                with self._open:
                    shutil.rmtree(self._work / PARTS, ignore_errors=True)
                    if self.remote is None:
                        self._complete_files()
                    elif is_sound:
                        self.remote.complete(self._work, list(self.recordings), self._complete_files)
        self.summary.seconds = time.monotonic() - started_s
        self.summary.interrupted = self._stopped.is_set()
        failures = self.manifest.failures_in(self.chunks)
        self.summary.failed = {f"{line['recording']}: {line['frame']}": line["failed"] for line in failures}
        self.summary.failed_by_kind = Counter(str(line.get("kind", NOT_ESTIMATED)) for line in failures)
        self.summary.left_out = self._left_out()
        for recording in self.recordings.values():
            self._add_remarks(recording, recording.remarks())
        return self.summary

    def _left_out(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        lines = (*self.manifest.frames, *self.manifest.failures_in(self.chunks))
        handled = Counter(str(line["recording"]) for line in lines)
        unfinished = {chunk.recording for chunk in self.chunks if not self.manifest.is_done(chunk)}
        for name, recording in self.recordings.items():
            by_option = self.manifest.left_out(name)
            counts.update(by_option)
            if name not in unfinished:
                counts[BY_SPAN] += max(0, recording.total() - handled[name] - by_option.total())
        if 0 < self._limit <= len(self.manifest.frames) and unfinished:
            whole = sum(recording.count() for recording in self.recordings.values())
            counts[BY_LIMIT] = max(0, whole - handled.total())
        return +counts

    def _check_unchanged(self) -> None:
        """Raise DataError for another bag than before: which of its messages were copied cannot be told any more."""
        for recording in self.recordings.values():
            chunks = recording.chunks(self.options.chunk_frames)
            if BAG in self.options.write and isinstance(recording, BagImages) and not self.manifest.fits(chunks):
                raise DataError(
                    f"{recording.source} is another bag, or a longer or shorter one, than when the run in "
                    f"{self.folder} was begun, and messages of it were copied: give another folder"
                )

    def _check_seen_by_others(self) -> None:
        for path in (self.folder, *(recording.source for recording in self.recordings.values())):
            if is_of_one_process(path):
                raise DataError(f"{path} is in the memory of this process, which no worker sees: leave out --ray")

    def part_folder(self, chunk: Chunk) -> Path:
        """Return where the files of a chunk are written before they are moved into place."""
        return self._work / PARTS / f"{chunk.recording}_{chunk.number}"

    def commit(self, part: Finished) -> None:
        """Move a chunk's files into place, then add its lines to the manifest."""
        name = self.part_name(part.chunk)
        if self.remote is None:
            files = move_into_place(part.folder, self._work, part.chunk.recording, name)
        else:
            files = self.remote.place(part.folder, part.chunk.recording, name)
        self.record(part, files)

    def part_name(self, chunk: Chunk) -> str:
        """Return the name of the next part of a chunk; see `Manifest`."""
        return self.manifest.part_name(chunk)

    def record(self, part: Finished, files: tuple[str, dict[str, str]]) -> None:
        """Add the lines of a chunk whose files are in place, as `move_into_place` returns them."""
        bag_file, videos = files
        self.manifest.append(
            part.chunk,
            part.lines,
            complete=part.complete,
            bag_file=bag_file,
            videos=videos,
            left_out=part.left_out,
        )

    def note_frame(self, line: Line) -> None:
        """Count a frame that was written on another machine."""
        self._note_frame(line)

    def note_remarks(self, chunk: Chunk, remarks: Sequence[str]) -> None:
        """Take what another process found wrong with a recording."""
        self._add_remarks(self.recordings[chunk.recording], remarks)

    def _add_remarks(self, recording: Recording, remarks: Sequence[str]) -> None:
        lines = [f"{recording.source}: {remark}" for remark in remarks]
        self.summary.remarks += [line for line in lines if line not in self.summary.remarks]

    def _note_frame(self, line: Line) -> None:
        if "failed" not in line:
            self.summary.done += 1
        self._user_on_frame(line)

    def _complete_files(self) -> dict[str, list[str]]:
        """Write what belongs to all chunks of a recording: metadata.yaml, the videos, the page; return bags' files."""
        bags: dict[str, list[str]] = {}
        for name in self.recordings:
            folder = self._work / name
            files = self.manifest.bag_files(name)
            if BAG in self.options.write and (files or (folder / "bag").is_dir()):
                bags[name] = write_metadata(folder / "bag", files, only_metadata=self.remote is not None)
            videos = self.manifest.video_files(name) if VIDEO in self.options.write else {}
            for stream, parts in videos.items():
                join_videos([folder / ".video" / part for part in parts], folder / film_name(name, stream))
        frames = self.manifest.frames
        if HTML in self.options.write and frames:
            write_page(self._work / "index.html", frames, warning=self.options.limits)
        return bags

    @contextlib.contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # an interruption too; nobody else can close it
            self._open.close()
            raise


@contextlib.contextmanager
def _hold(folder: Path) -> Iterator[Path]:
    """Hold a run's folder, made if it is not there, so that no two processes add to one run.

    Yields the folder to work in: another one if that of the run is at a URL.
    """
    with contextlib.ExitStack() as stack:
        try:
            if is_remote(folder):
                stack.enter_context(hold_url_at_once(str(folder)))
                work = stack.enter_context(scratch_folder("metric3d_run"))
            else:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(hold_folder_at_once(folder))
                work = folder
        except BlockingIOError:
            raise DataError(
                f"another process works on the run in {folder}: wait for it, or give another folder"
            ) from None
        except OSError as error:
            raise DataError(f"cannot write into {folder}: {error.strerror or error}; give another folder") from error
        yield work


class _stopping_on_signals:
    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in ending_signals():
                self._before[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: Any) -> None:
        self._stop()
        # Whoever asks twice does not want to wait.
        signal.signal(number, self._before[number])

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def check_inputs(recordings: Sequence[Recording]) -> None:
    """Raise DataError if there is no frame at all."""
    if not any(recording.count() for recording in recordings):
        raise DataError("there is no frame in any input between --start and --end")
