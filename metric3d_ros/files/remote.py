"""Paths at URLs, such as s3://bucket/drive.mcap, used as pathlib's are: through fsspec and universal_pathlib."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from metric3d_ros.errors import DataError
from metric3d_ros.files.paths import user_path

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_OF_ONE_PROCESS = "memory"
_S3: dict[str, Any] = {"default_block_size": 1 << 23}
_OPTIONS = {"s3": _S3, "s3a": _S3}
"""s3fs reads 50 MiB wherever a file is read, and a bag is read at five places before its first image."""


def is_remote(path: object) -> bool:
    """Return whether `path_of` made a path that is not one of this machine's file system."""
    return not isinstance(path, (str, Path))


def is_of_one_process(path: object) -> bool:
    """Return whether other processes cannot see what is there: memory://."""
    return str(path).startswith(f"{_OF_ONE_PROCESS}://")


def path_of(text: str | os.PathLike[str]) -> Path:
    """Return the path that a user's word names; one at a URL can do what pathlib's can, but is not a `Path`.

    ~ is the user's folder, and file:// is a path of this machine.

    Raises DataError if nothing is installed that supports such URLs.
    """
    if isinstance(text, Path):
        return user_path(text)
    if is_remote(text):
        return cast(Path, text)
    found = _URL.match(str(text))
    if found is None:
        return user_path(text)
    if found[1].lower() == "file":
        return Path(unquote(urlsplit(str(text)).path))
    return cast(Path, _remote(str(text)))


def _remote(url: str) -> Any:
    try:
        from upath import UPath
    except ImportError as error:
        raise DataError(f"{url}: URLs need fsspec: pip install '.[remote]' in the source folder") from error
    try:
        path = UPath(url, **_OPTIONS.get(url.partition("://")[0].lower(), {}))
        _ = path.fs  # imports what supports this kind of URL
    except ImportError as error:
        raise DataError(f"{url} cannot be opened: {error}") from error
    except ValueError as error:
        remedy = "give a path, or a URL such as s3://BUCKET/FOLDER"
        raise DataError(f"{url} cannot be opened: {error}; {remedy}") from error
    return path


def matching_paths(pattern: Path) -> list[Path]:
    """Return what a shell pattern matches, in no certain order."""
    if not is_remote(pattern):
        return [Path(each) for each in glob.glob(str(pattern))]
    remote: Any = pattern
    return [_remote(remote.fs.unstrip_protocol(each)) for each in remote.fs.glob(remote.path)]


@contextlib.contextmanager
def hold_url_at_once(url: str) -> Iterator[None]:
    """Hold a URL until the context ends; BlockingIOError if another process of this machine holds it.

    No lock is there for all kinds of URLs, and a file that serves as one outlives a killed process. So processes on
    other machines are not held off.
    """
    if sys.platform != "linux":
        yield
        return
    from hashlib import sha256  # here: the node comes by this file too, and needs no OpenSSL

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
        try:
            # A name outside the file system: it goes with the process.
            holder.bind(f"\0metric3d_{sha256(url.encode()).hexdigest()}")
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror, url) from error
        yield
