"""A run on several processes or machines, with Ray: each worker holds a model and does a chunk at a time.

Workers write into the run's folder, which all machines must see under one path, or upload to its URL. Only the driver
moves a chunk's files into place and adds its lines to the manifest, so a chunk whose worker died is done again, and
lands once; to a URL, it is uploaded again under the same names.
"""

import dataclasses
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from metric3d_ros.errors import ConfigurationError, DataError, InferenceError
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.files.atomic import scratch_folder
from metric3d_ros.files.boundary import reason_of
from metric3d_ros.runs.options import RunOptions
from metric3d_ros.runs.outputs.remote_folder import RemoteFolder
from metric3d_ros.runs.pipeline import Finished, Line, Pipeline
from metric3d_ros.runs.sources.frame import Chunk, Recording

LOCAL = "local"
_MOST_ATTEMPTS = 3
_POLL_S, _CONNECT_S = 0.5, 10.0


class RunInDriver(Protocol):
    """What the driver needs of a `Run`, which describes each of these."""

    options: RunOptions
    recordings: dict[str, Recording]
    remote: RemoteFolder | None

    @property
    def stopped(self) -> bool: ...
    def missing(self) -> Iterator[tuple[Chunk, frozenset[str]]]: ...
    def part_folder(self, chunk: Chunk) -> Path: ...
    def part_name(self, chunk: Chunk) -> str: ...
    def commit(self, part: Finished) -> None: ...
    def record(self, part: Finished, files: tuple[str, dict[str, str]]) -> None: ...
    def note_frame(self, line: Line) -> None: ...
    def note_remarks(self, chunk: Chunk, remarks: Sequence[str]) -> None: ...


class Worker:
    """A model and its pipeline; lives in a process of Ray."""

    def __init__(self, options: RunOptions, recordings: Mapping[str, Recording]) -> None:
        """Remember what it works with."""
        self._estimator: Estimator | None = None
        self._options = options
        self._recordings = recordings

    def run(self, chunk: Chunk, done: frozenset[str], folder: str) -> tuple[Finished, list[str]]:
        """Do a chunk into `folder`; return it, and what is wrong with its recording."""
        # Not when the worker starts: Ray buries what is wrong with a model in its words about actors that died.
        self._estimator = self._estimator or self._options.estimator()
        # Anew for each chunk, so that results do not depend on which worker did the chunk before.
        pipeline = Pipeline(self._estimator, self._options, self._recordings)
        parts: list[Finished] = []
        pipeline.run([(chunk, done)], lambda _: Path(folder), parts.append)
        return parts[0], self._recordings[chunk.recording].remarks()

    def upload(
        self, chunk: Chunk, done: frozenset[str], remote: RemoteFolder, name: str
    ) -> tuple[Finished, list[str], tuple[str, dict[str, str]]]:
        """Do a chunk as `run` does, and upload its files as the part `name`; return the part's names besides."""
        with scratch_folder("metric3d_run") as scratch:
            part, remarks = self.run(chunk, done, str(scratch / "part"))
            return part, remarks, remote.place(scratch / "part", chunk.recording, name)

    def process_id(self) -> int:
        """Return the id of the worker's process."""
        return os.getpid()


def run_on_ray(run: RunInDriver, address: str, *, workers: int = 0) -> None:
    """Do what is missing of a run; DataError if Ray is not there, ConfigurationError if no worker would fit into it.

    Args:
        run: its manifest and folder are written here, in the driver.
        address: of the cluster, or "local".
        workers: how many at most; 0 for one for each CPU of the cluster (each `threads` CPUs, if that is set). Those
            for which no CPUs are free start when some become free; the others do the work.
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
            _check_reachable(address)
            ray.init(address=address, **quiet)
    try:
        _Driver(ray, run, workers).run()
    finally:
        if own:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raise DataError if nothing listens at host:port or ray://host:port, for which Ray waits for minutes."""
    host, mark, port = address.rpartition("/")[2].rpartition(":")
    if not (mark and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise DataError(
            f"no Ray cluster answers at {address} ({error}): give the address of its head node, or --ray {LOCAL}"
        ) from error


class _Driver:
    def __init__(self, ray: Any, run: RunInDriver, workers: int) -> None:
        self._ray, self._run = ray, run
        threads = max(1, run.options.threads)
        self._options = dataclasses.replace(run.options, threads=threads)
        self._waiting = list(run.missing())
        cpus = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        # Without any CPU, it is a cluster that starts machines when somebody waits for them.
        if 0 < (most := max(cpus, default=0)) < threads:
            raise ConfigurationError(
                f"--threads is {threads}, and the largest machine of the Ray cluster has {most} CPU{'s' * (most > 1)}: "
                f"give --threads {most} or less, or add a larger machine first"
            )
        fitting = sum(each // threads for each in cpus)  # a worker's CPUs are of one machine
        self._count = max(1, min(workers or fitting, len(self._waiting)))
        self._class = ray.remote(num_cpus=threads, max_restarts=0)(Worker)
        self._recordings = ray.put(run.recordings)
        self._attempts: dict[str, int] = {}
        self._starting: dict[Any, Any] = {}
        """Workers by what they answer when they have started; some never do, for want of CPUs that are free."""
        self._failed_starts = 0

    def run(self) -> None:
        ray = self._ray
        idle: list[Any] = []
        for _ in range(self._count):
            self._start_worker()
        busy: dict[Any, tuple[Any, Chunk, frozenset[str]]] = {}
        while True:
            while idle and self._waiting and not self._run.stopped:
                worker = idle.pop()
                chunk, done = self._waiting.pop(0)
                attempt = self._attempts[chunk.key] = self._attempts.get(chunk.key, 0) + 1
                # Another folder each time: a worker that is taken for dead may still write.
                folder = self._run.part_folder(chunk).absolute() / str(attempt)
                if self._run.remote is None:
                    result = worker.run.remote(chunk, done, str(folder))
                else:
                    result = worker.upload.remote(chunk, done, self._run.remote, self._run.part_name(chunk))
                busy[result] = worker, chunk, done
            if not busy and (self._run.stopped or not self._waiting):
                return
            ready, _ = ray.wait([*busy, *self._starting], num_returns=1, timeout=_POLL_S)
            for result in ready:
                if result in self._starting:
                    idle += self._started(result)
                    continue
                worker, chunk, done = busy.pop(result)
                try:
                    part, remarks, *files = ray.get(result)
                except ray.exceptions.RayTaskError as error:
                    # Its own words are a traceback of many lines.
                    raise (error.cause if isinstance(error.cause, Exception) else error) from None
                except ray.exceptions.RayError as error:
                    if self._attempts[chunk.key] >= _MOST_ATTEMPTS:
                        raise InferenceError(
                            f"workers died {_MOST_ATTEMPTS} times at chunk {chunk.key} ({error}): give less at a time "
                            "with --chunk, or more memory"
                        ) from error
                    self._waiting.insert(0, (chunk, done))
                    self._start_worker()
                    continue
                if files:
                    self._run.record(part, files[0])
                else:
                    self._run.commit(part)
                for line in part.lines:
                    self._run.note_frame(line)
                self._run.note_remarks(chunk, remarks)
                idle.append(worker)

    def _start_worker(self) -> None:
        worker = self._class.remote(self._options, self._recordings)
        self._starting[worker.process_id.remote()] = worker

    def _started(self, answer: Any) -> list[Any]:
        """Return the worker that gave an answer when it started; none, and start another one, if it died."""
        worker = self._starting.pop(answer)
        try:
            self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_ATTEMPTS:
                raise InferenceError(
                    f"workers died {self._failed_starts} times while they started ({reason_of(error)}): check that "
                    "every machine of the cluster has this package and its libraries, or give more memory"
                ) from error
            self._start_worker()
            return []
        self._failed_starts = 0
        return [worker]
