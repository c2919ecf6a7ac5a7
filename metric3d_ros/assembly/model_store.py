"""The model files of published names in the cache: found and checked, or made once from the authors' checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from metric3d_ros.assembly.assembler import assemble
from metric3d_ros.assembly.model_names import ModelName
from metric3d_ros.assembly.model_writer import data_path_of
from metric3d_ros.assembly.plan import load_plan
from metric3d_ros.assembly.steps import Report
from metric3d_ros.assembly.tensor_files import Checkpoint, read_checkpoint
from metric3d_ros.errors import CheckpointError, DownloadError, ModelError
from metric3d_ros.files.atomic import write_text
from metric3d_ros.files.boundary import is_readable, read_text
from metric3d_ros.files.exclusive import hold_file
from metric3d_ros.hub.downloads import PART_SUFFIX, cache_folder, download, hash_file
from metric3d_ros.hub.published import LICENCE, find_in_hub_cache, published_checkpoint

_WAIT_S = 1.0
"""So often another process that makes a model is waited for anew, and that is reported."""


class Entry(enum.Enum):
    """What the cache has of a model."""

    MISSING = "missing"
    OUTDATED = "made by another version"
    DAMAGED = "damaged"
    WHOLE = "whole"


def model_path(name: ModelName) -> Path:
    """Return where the cache keeps a model file."""
    return cache_folder() / "models" / name.file_name


def checkpoint_path(name: ModelName) -> Path:
    """Return where the cache keeps the authors' checkpoint of a model."""
    return published_checkpoint(name.variant).cached_path


def look_up(name: ModelName) -> Entry:
    """Return whether the cache has a model, and whether each of its bytes is as it was made."""
    path = model_path(name)
    record = _record_path(path)
    if not (is_readable(path) and is_readable(record)):
        return Entry.MISSING
    try:
        stated = json.loads(read_text(record, error=ModelError, remedy="it is made anew"))
        files = {path.with_name(str(file)): sha256 for file, sha256 in stated["files"].items()}
        if stated["plan_sha256"] != load_plan(name.variant, name.precision).sha256:
            return Entry.OUTDATED
        whole = path in files and all(hash_file(file) == sha256 for file, sha256 in files.items())
    except (ModelError, ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return Entry.DAMAGED
    return Entry.WHOLE if whole else Entry.DAMAGED


def obtain(name: ModelName, report: Report) -> Path:
    """Return the model file of a name from the cache; if it is not there, download, assemble and check it first.

    Of several processes that want one model, one makes it and the others wait.

    Raises:
        DownloadError: the checkpoint could not be downloaded.
        CheckpointError, ExportError: as `assembler.assemble`.
        ModelError: it is damaged at once again.
    """
    path = model_path(name)
    if look_up(name) is Entry.WHOLE:
        return path
    with _one_process(path, lambda: report(f"waiting for another process that makes {name}", None)):
        entry = look_up(name)
        if entry is Entry.WHOLE:
            return path
        if entry is not Entry.MISSING:
            report(f"{path} is {entry.value}: it is made anew", None)
        if entry is Entry.DAMAGED:  # nobody can use it, and its place may be needed
            path.unlink()
            data_path_of(path).unlink(missing_ok=True)
        _make(name, path, report)
        if look_up(name) is not Entry.WHOLE:
            raise ModelError(
                f"{path} differs from what was written a moment ago: the disk or the memory of this machine is faulty; "
                "set XDG_CACHE_HOME to another disk"
            )
    report(f"{name} is ready in {path}", None)
    return path


def remove(name: ModelName, report: Report) -> int:
    """Remove a model from the cache, and its checkpoint; return how many bytes that frees.

    Waits for another process that makes it. Raises DownloadError for what cannot be removed.
    """
    path, freed = model_path(name), 0
    if not _files_of(name):
        return 0
    with _one_process(path, lambda: report(f"waiting for another process that makes {name}", None)):
        for file in _files_of(name):  # with those that the other process has made
            try:
                size = file.stat().st_size
                file.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise DownloadError(
                    f"{file} cannot be removed ({error.strerror}): change its folder's permissions"
                ) from error
            freed += size
    return freed


def _files_of(name: ModelName) -> list[Path]:
    """Return the files of a model in the cache, of its checkpoint, and of what was downloaded of that."""
    path, checkpoint = model_path(name), checkpoint_path(name)
    files = [_record_path(path), path, data_path_of(path), checkpoint]
    with contextlib.suppress(OSError):  # no such folder
        files += checkpoint.parent.glob(f"{checkpoint.name}.*{PART_SUFFIX}")
    return [file for file in files if os.path.isfile(file)]


def _make(name: ModelName, path: Path, report: Report) -> None:
    _record_path(path).unlink(missing_ok=True)
    checkpoint = _obtain_checkpoint(name, report)
    assemble(name.variant, checkpoint, path, precision=name.precision, tell=lambda line: report(line, None))
    files = [file for file in (path, data_path_of(path)) if file.is_file()]
    stated = {
        "files": {file.name: hash_file(file) for file in files},
        "plan_sha256": load_plan(name.variant, name.precision).sha256,
        "checkpoint_sha256": checkpoint.sha256,
    }
    write_text(_record_path(path), json.dumps(stated, indent=1), durable=True)


def _obtain_checkpoint(name: ModelName, report: Report) -> Checkpoint:
    """Return the authors' checkpoint: from this cache, from that of the hub's own tools, or downloaded."""
    file = published_checkpoint(name.variant)
    for path in (file.cached_path, find_in_hub_cache(file)):
        if path is not None and is_readable(path):
            report(f"reading {path}", None)
            if hash_file(path) == file.sha256:
                return dataclasses.replace(read_checkpoint(path), origin=file.origin)
            report(f"{path} is not what was published: it is not used", None)
            if path == file.cached_path:
                path.unlink(missing_ok=True)
    report(f"{name.variant}: {LICENCE}", None)
    report(f"downloading {file.path} of {file.origin} to {file.cached_path}", None)
    download(
        file,
        file.cached_path,
        by_hand=f"copy it to {file.cached_path}",
        on_progress=lambda share: report(f"downloading {name.variant}", share),
    )
    checkpoint = read_checkpoint(file.cached_path)
    if checkpoint.sha256 != file.sha256:
        raise CheckpointError(
            f"{file.cached_path} has SHA-256 {checkpoint.sha256}, expected {file.sha256}: it was damaged on this "
            "machine; run the command again, or set XDG_CACHE_HOME to another disk"
        )
    return dataclasses.replace(checkpoint, origin=file.origin)


@contextlib.contextmanager
def _one_process(path: Path, on_wait: Callable[[], object]) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold_file(path.with_name(f".{path.name}.lock"), on_wait=on_wait, every_s=_WAIT_S):
            yield
    except OSError as error:
        raise DownloadError(
            f"the cache {path.parent} cannot be written ({error.strerror or error}): set XDG_CACHE_HOME to a folder "
            "that can, or name a model file"
        ) from error


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.record.json")
