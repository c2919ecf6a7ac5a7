"""A cache on disk for results that take minutes to build; every entry is checked before it is used."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from metric3d_ros.files.atomic import temporary_folder
from metric3d_ros.files.boundary import reason_of
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.files.exclusive import hold_folder
from metric3d_ros.hub.downloads import hash_file

T = TypeVar("T")

_MANIFEST = "manifest.json"
_KEY, _FILES = "key", "files"
_MOST_ENTRIES = 8
_MOST_MANIFEST_BYTES = 1 << 20
_LEAST_FREE_BYTES = 4 << 30

_LOG = logging.getLogger(__name__)


def build_or_load(
    root: Path, key: Mapping[str, str], make: Callable[[Path | None], T], *, errors: tuple[type[Exception], ...]
) -> T:
    """Return `make(folder)`, for a folder that an earlier build with the same key has filled, or for an empty one.

    An entry is used only if it is for exactly this key and each of its files has the content that was written.
    Otherwise, or if `make` fails with it, it is removed with a warning and built again. A new entry is built beside its
    place and moved there when it is complete: no process finds half of one, and none removes what another one has built
    meanwhile. Leftovers of killed processes are removed. If `root` cannot be written or is nearly full, `make(None)`
    builds without keeping anything.

    Args:
        root: the folder of the entries; created if it does not exist.
        key: everything that the result depends on.
        make: builds into an empty folder, or loads from a filled one.
        errors: what `make` raises when it fails.
    """
    digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:32]
    entry = root / digest
    if entry.exists():
        which = _identify(entry)
        problem = _find_problem(entry, key)
        if problem is None:
            _touch(entry)  # before it is loaded, so that no process removes it as unused
            try:
                return make(entry)
            except errors as error:
                problem = f"it cannot be loaded ({str(error).strip().splitlines()[0] if str(error) else error!r})"
        _LOG.warning("%s is built again: %s", entry, problem)
        with contextlib.suppress(OSError), hold_folder(root):
            if _identify(entry) == which:
                shutil.rmtree(entry, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(root).free < _LEAST_FREE_BYTES:
                raise OSError(f"less than {_LEAST_FREE_BYTES >> 30} GiB are free")
            with hold_folder(root):
                folder = stack.enter_context(temporary_folder(root, digest))
        except OSError as error:
            _LOG.info("what is built is not kept for the next start, because %s cannot be used: %s", root, error)
            return make(None)
        result = make(folder)
        _keep(folder, entry, key)
        return result


def _identify(entry: Path) -> tuple[int, int] | None:
    """Return what distinguishes an entry from a later one of the same name; None if there is none."""
    try:
        status = entry.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _find_problem(entry: Path, key: Mapping[str, str]) -> str | None:
    """Return why an entry cannot be trusted; None if it can."""
    try:
        with (entry / _MANIFEST).open("rb") as file:
            manifest = json.loads(file.read(_MOST_MANIFEST_BYTES))
        if manifest[_KEY] != dict(key):
            return "it was built for something else"
        there = {path.name for path in entry.iterdir()} - {_MANIFEST}
        if there != set(manifest[_FILES]):
            return "files are missing or were added"
        for name, sha256 in manifest[_FILES].items():
            if hash_file(entry / name) != sha256:
                return f"{shorten(name, 80)} is not what was written"
    except Exception as error:  # whatever Python's reader makes of it, RecursionError included
        return f"its description cannot be read ({reason_of(error)})"
    return None


def _keep(folder: Path, entry: Path, key: Mapping[str, str]) -> None:
    try:
        files = {path.name: hash_file(path) for path in sorted(folder.iterdir())}
        (folder / _MANIFEST).write_text(json.dumps({_KEY: dict(key), _FILES: files}, indent=2))
        with hold_folder(entry.parent):
            # Fails if another process was faster, whose entry is as good as ours. Not written through to the disk: an
            # entry that a power failure spoils is recognised and built again.
            os.rename(folder, entry)
            _forget_oldest(entry.parent)
    except OSError as error:
        if not entry.exists():
            _LOG.info("what was built is not kept for the next start: %s", error)


def _forget_oldest(root: Path) -> None:
    entries = [path for path in root.iterdir() if (path / _MANIFEST).exists()]
    for entry in sorted(entries, key=lambda path: path.stat().st_mtime)[:-_MOST_ENTRIES]:
        shutil.rmtree(entry, ignore_errors=True)


def _touch(entry: Path) -> None:
    try:
        os.utime(entry)
    except OSError:
        _LOG.debug("%s is read-only; it may be forgotten before entries that are used less", entry)
