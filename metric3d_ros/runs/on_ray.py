"""A run on several processes or machines, with Ray: each worker holds a model and does a chunk at a time.

Workers write into the run's folder, which all machines must see under one path. Only the driver moves a chunk's files
into place and adds its lines to the manifest, so a chunk whose worker died is done again, and lands once.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from metric3d_ros.errors import DataError, InferenceError
from metric3d_ros.runs.options import RunOptions
from metric3d_ros.runs.pipeline import Line, Pipeline
from metric3d_ros.runs.sources.frame import Chunk, Recording

LOCAL = "local"
_MOST_ATTEMPTS = 3
_POLL_S = 0.5


class RunInDriver(Protocol):
    """What the driver needs of a `Run`, which describes each of these."""

    options: RunOptions
    recordings: dict[str, Recording]

    @property
    def stopped(self) -> bool: ...
    def missing(self) -> Iterator[tuple[Chunk, frozenset[str]]]: ...
    def part_folder(self, chunk: Chunk) -> Path: ...
    def commit(self, chunk: Chunk, part: Path, lines: list[Line], complete: bool) -> None: ...
    def note_frame(self, line: Line) -> None: ...
    def note_remarks(self, chunk: Chunk, remarks: Sequence[str]) -> None: ...


class Worker:
    """A model and its pipeline; lives in a process of Ray."""

    def __init__(self, options: RunOptions, recordings: Mapping[str, Recording]) -> None:
        """Load the model."""
        self._estimator = options.estimator()
        self._options = options
        self._recordings = recordings

    def run(self, chunk: Chunk, done: frozenset[str], folder: str) -> tuple[list[Line], list[str]]:
        """Do a chunk into `folder`; return its lines, and what is wrong with its recording."""
        # Anew for each chunk, so that results do not depend on which worker did the chunk before.
        pipeline = Pipeline(self._estimator, self._options, self._recordings)
        lines: list[Line] = []

        def finish(_: Chunk, __: Path, written: list[Line], ___: bool) -> None:
            lines.extend(written)

        pipeline.run([(chunk, done)], lambda _: Path(folder), finish)
        return lines, self._recordings[chunk.recording].remarks()

    def process_id(self) -> int:
        """Return the id of the worker's process."""
        return os.getpid()


def run_on_ray(run: RunInDriver, address: str, *, workers: int = 0) -> None:
    """Do what is missing of a run; ConfigurationError or DataError if Ray is not there.

    Args:
        run: its manifest and folder are written here, in the driver.
        address: of the cluster, or "local".
        workers: how many; 0 for one for each CPU of the cluster (each `threads` CPUs, if that is set).
    """
    try:
        import ray
    except ImportError as error:
        raise DataError("--ray needs Ray: pip install '.[ray]' in the source folder") from error
    own = not ray.is_initialized()
    if own:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == LOCAL:
            ray.init(address="local", include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    try:
        _Driver(ray, run, workers).run()
    finally:
        if own:
            ray.shutdown()


class _Driver:
    def __init__(self, ray: Any, run: RunInDriver, workers: int) -> None:
        self._ray, self._run = ray, run
        threads = max(1, run.options.threads)
        self._options = dataclasses.replace(run.options, threads=threads)
        self._waiting = list(run.missing())
        cpus = int(ray.cluster_resources().get("CPU", 1))
        self._count = max(1, min(workers or cpus // threads, len(self._waiting)))
        self._class = ray.remote(num_cpus=threads, max_restarts=0)(Worker)
        self._recordings = ray.put(run.recordings)
        self._attempts: dict[str, int] = {}

    def run(self) -> None:
        ray = self._ray
        idle = [self._new_worker() for _ in range(self._count)]
        busy: dict[Any, tuple[Any, Chunk, frozenset[str], Path]] = {}
        while True:
            while idle and self._waiting and not self._run.stopped:
                worker = idle.pop()
                chunk, done = self._waiting.pop(0)
                attempt = self._attempts[chunk.key] = self._attempts.get(chunk.key, 0) + 1
                # Another folder each time: a worker that is taken for dead may still write.
                folder = self._run.part_folder(chunk).absolute() / str(attempt)
                busy[worker.run.remote(chunk, done, str(folder))] = worker, chunk, done, folder
            if not busy:
                return
            ready, _ = ray.wait(list(busy), num_returns=1, timeout=_POLL_S)
            for result in ready:
                worker, chunk, done, folder = busy.pop(result)
                try:
                    lines, remarks = ray.get(result)
                except ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from error
                except ray.exceptions.RayError as error:
                    if self._attempts[chunk.key] >= _MOST_ATTEMPTS:
                        raise InferenceError(
                            f"workers died {_MOST_ATTEMPTS} times at chunk {chunk.key} ({error}): give less at a time "
                            "with --chunk, or more memory"
                        ) from error
                    self._waiting.insert(0, (chunk, done))
                    idle.append(self._new_worker())
                    continue
                self._run.commit(chunk, folder, lines, True)
                for line in lines:
                    self._run.note_frame(line)
                self._run.note_remarks(chunk, remarks)
                idle.append(worker)

    def _new_worker(self) -> Any:
        return self._class.remote(self._options, self._recordings)
