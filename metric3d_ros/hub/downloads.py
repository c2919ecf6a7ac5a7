"""Downloads single published files from the Hugging Face hub: resumed where they stopped, checked by their SHA-256.

Plain HTTP of the standard library. The hub's own client deletes what has arrived when it is interrupted, and with it
hours of a large model's download.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import os
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metric3d_ros import __version__
from metric3d_ros.errors import DownloadError
from metric3d_ros.files.boundary import reason_of
from metric3d_ros.files.excerpts import shorten
from metric3d_ros.files.exclusive import hold_file, is_at, save_to_disk
from metric3d_ros.hub.certificates import trusting_handlers
from metric3d_ros.hub.redirects import RedirectRefusedError, Redirects
from metric3d_ros.hub.settings import ENDPOINT_VARIABLE, OFFLINE_VARIABLE, TOKEN_VARIABLE, endpoint, is_offline, token

OnProgress = Callable[[float], object]
"""Takes what share of a file is there, 0 to 1."""

PART_SUFFIX = ".part"
_LOG = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 20
_TIMEOUT_S = 30.0
_WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Delays before the attempts after a failure; after any progress they start from the first again."""
_PASSING_STATUSES = (408, 429, 500, 502, 503, 504)
_RANGE_NOT_SATISFIABLE = 416
_LOOK = f"check {ENDPOINT_VARIABLE}, and whether its page has the file"
_LOG_IN = f"set {TOKEN_VARIABLE} to a token that may read it"
_REMEDIES = {
    401: _LOG_IN,
    403: _LOG_IN,
    407: "the proxy wants a login: set HTTPS_PROXY to http://USER:PASSWORD@HOST:PORT",
}
"""By what a host answers; any other gets `_LOOK`."""
_MOST_BYTES = 32 << 30
"""Of a file; the largest published one has 5.5 GB."""
_MOST_DIGITS = 15


def cache_folder() -> Path:
    """Return the folder for what can be downloaded or built again; see `user_cache`."""
    return user_cache() / "metric3d"


def user_cache() -> Path:
    """Return the user's folder of caches. Raises DownloadError for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise DownloadError(
            "there is no place for downloads, since this user has no home: set XDG_CACHE_HOME to a folder that can be "
            "written, or name a model file"
        ) from error


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file as it is in one commit of a repository on the hub."""

    repository: str
    revision: str
    """Full hash of the commit."""
    path: str
    sha256: str | None = None
    """Of the content; None if it was not known: then the hub's own statement is checked."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def origin(self) -> str:
        """What identifies the file, for people and metadata: repository@commit."""
        return f"{self.repository}@{self.revision}"

    @property
    def url(self) -> str:
        return f"{endpoint()}/{self.repository}/resolve/{self.revision}/{urllib.parse.quote(self.path)}"

    @property
    def page(self) -> str:
        """Address of the page from which a person can download the file."""
        return f"{endpoint()}/{self.repository}/blob/{self.revision}/{urllib.parse.quote(self.path)}"

    @property
    def cached_path(self) -> Path:
        """Where `download_to_cache` keeps the file."""
        return cache_folder() / self.repository / self.revision / self.path


def download_to_cache(file: HubFile, *, by_hand: str) -> Path:
    """Return the cached file, downloading it if it is not there yet; see `download`."""
    path = file.cached_path
    if not path.exists():
        download(file, path, by_hand=by_hand)
    return path


def download(file: HubFile, target: Path, *, by_hand: str, on_progress: OnProgress | None = None) -> str:
    """Download `file` to `target` and return its SHA-256.

    What arrives is kept beside it in a .part file, from where a later call continues; only the complete and checked
    file takes the name `target`, once it is on the disk. Of several processes that download one file to one place, one
    does it and the others wait.

    Args:
        file: what to download.
        target: where to; its directory is made.
        by_hand: what to do with a file that was downloaded by hand, for the error messages.
        on_progress: called now and then while the file arrives; None draws a bar on a terminal.

    Raises:
        DownloadError: no connection, no such file, no space, a redirect that must not be followed, or another content
            than was published.
    """
    part = part_path(file, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with hold_file(
                part, on_wait=lambda: _LOG.warning("another process downloads %s: waiting", file.name)
            ) as held:
                if is_at(held, part):
                    return _download_held(file, part, target, by_hand, on_progress)
                if is_at(held, target):  # which the other process has finished
                    return hash_file(target)
    except OSError as error:
        raise DownloadError(
            f"{target} could not be written ({error.strerror or error}): free some space or choose another place (the "
            "cache is in XDG_CACHE_HOME), then run the command again; it continues where it stopped"
        ) from error


def _download_held(file: HubFile, part: Path, target: Path, by_hand: str, on_progress: OnProgress | None) -> str:
    try:
        stated_sha256 = _complete(file, part, by_hand, on_progress)
        sha256 = hash_file(part)
        expected = file.sha256 or stated_sha256
        if expected is not None and sha256 != expected:
            part.unlink()
            raise DownloadError(
                f"{file.name} arrived with SHA-256 {sha256}, expected {expected}: run the command again; if it happens "
                f"again, get {file.page} by hand and {by_hand}"
            )
        save_to_disk(part)
        os.replace(part, target)
        save_to_disk(target.parent)
        return sha256
    finally:
        if part.is_file() and not _size(part):
            part.unlink()  # nothing arrived


def part_path(file: HubFile, target: Path) -> Path:
    """Return where `download` keeps what has arrived; another file for the same target has another place."""
    key = hashlib.sha256(f"{file.origin}/{file.path}".encode()).hexdigest()[:8]
    return target.with_name(f"{target.name}.{key}{PART_SUFFIX}")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


class _ConnectionLostError(Exception):
    """The transfer failed in a way that another attempt may mend."""


class _UnreachableError(_ConnectionLostError):
    """There was no connection."""


def _complete(file: HubFile, part: Path, by_hand: str, on_progress: OnProgress | None) -> str | None:
    """Append to `part` until it is whole; return the SHA-256 that the hub states, if it does."""
    first_size = size = _size(part)
    failures = 0
    while True:
        try:
            return _append_rest(file, part, by_hand, on_progress)
        except _ConnectionLostError as error:
            size, size_before = _size(part), size
            # If the machine is offline, fail at once; a connection that was lost midway may come back.
            if isinstance(error, _UnreachableError) and size == first_size:
                raise DownloadError(
                    f"{_host(file)} cannot be reached ({error}): check the connection and HTTPS_PROXY, or get "
                    f"{file.page} by hand and {by_hand}"
                ) from error
            failures = 1 if size > size_before else failures + 1
            if failures > len(_WAITS_S):
                raise DownloadError(
                    f"the download of {file.name} broke off after {size / 1e6:.1f} MB ({error}): run the command "
                    f"again, it continues there, or get {file.page} by hand and {by_hand}"
                ) from error
            time.sleep(_WAITS_S[failures - 1])


def _append_rest(file: HubFile, part: Path, by_hand: str, on_progress: OnProgress | None) -> str | None:
    offset = _size(part)
    redirects = Redirects(file.url)
    with _open(file, offset, redirects, by_hand) as answer:
        if answer is None:  # nothing lies beyond what is there
            return redirects.sha256
        if answer.headers.get_content_type() == "text/html":
            raise DownloadError(
                f"{_host(file)} answered with a web page, not with {file.name}: log in to "
                f"this network or check HTTPS_PROXY, or get {file.page} by hand and {by_hand}"
            )
        if answer.status != http.client.PARTIAL_CONTENT:
            offset = 0  # the server knows no ranges: it sends all of it
        length = _stated_length(answer, file)
        total = None if length is None else offset + length
        _require_space(part, (total or 0) - offset)
        hidden = None if on_progress is None else True  # None: unless it is a terminal
        with (
            part.open("ab" if offset else "wb") as out,
            tqdm(total=total, initial=offset, desc=file.name, unit="B", unit_scale=True, disable=hidden) as bar,
        ):
            while piece := _read(answer):
                _require_sane(file, out.tell())
                out.write(piece)
                bar.update(len(piece))
                if on_progress is not None and total:
                    on_progress(out.tell() / total)
    if total is not None and _size(part) < total:
        raise _ConnectionLostError("the connection was closed early")
    return redirects.sha256


@contextlib.contextmanager
def _open(file: HubFile, offset: int, redirects: Redirects, by_hand: str) -> Iterator[Any]:
    """Yield the response with the bytes from `offset` on, or None if there are none."""
    if is_offline():
        raise DownloadError(
            f"{file.name} is not on this machine and {OFFLINE_VARIABLE} forbids downloads: unset it, or get "
            f"{file.page} by hand and {by_hand}"
        )
    request = urllib.request.Request(file.url, headers={"User-Agent": f"metric3d_ros/{__version__}"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    if login := token():
        request.add_unredirected_header("Authorization", f"Bearer {login}")
    opener = urllib.request.build_opener(redirects, *trusting_handlers())
    try:
        answer = opener.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        answered = f"{_host(file)} answered {error.code} {shorten(str(error.reason), 80)}"
        if error.code == _RANGE_NOT_SATISFIABLE:
            yield None
            return
        if error.code in _PASSING_STATUSES:
            raise _ConnectionLostError(answered) from error
        remedy = _REMEDIES.get(error.code, _LOOK)
        raise DownloadError(
            f"{answered} for {file.path} of {file.origin}: {remedy}, or get {file.page} by hand and {by_hand}"
        ) from error
    except RedirectRefusedError as error:
        raise DownloadError(
            f"{_host(file)} redirects {file.name} {error}: check {ENDPOINT_VARIABLE} and HTTPS_PROXY, or get "
            f"{file.page} by hand and {by_hand}"
        ) from error
    except Exception as error:  # whatever a host's headers make of the standard library
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            raise DownloadError(
                f"the certificate of {_host(file)} is not trusted here ({error}): set SSL_CERT_FILE to your network's "
                f"file of certificates, or get {file.page} by hand and {by_hand}"
            ) from error
        reason = getattr(error, "reason", None) or error
        if isinstance(error, (ValueError, http.client.InvalidURL)):  # which repeat it, and a password in it
            reason = "an address on the way, of a proxy or a redirect, is not valid"
        raise _UnreachableError(reason_of(reason)) from error
    with answer:
        redirects.note(answer.geturl(), answer.headers)
        yield answer


def _read(answer: Any) -> bytes:
    try:
        return bytes(answer.read(_PIECE_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _ConnectionLostError(reason_of(error)) from error


def _stated_length(answer: Any, file: HubFile) -> int | None:
    """Return how many bytes the host says are to come; None if it does not say so."""
    length = (answer.headers.get("Content-Length") or "").strip()
    if not length.isascii() or not length.isdigit() or len(length) > _MOST_DIGITS:
        return None
    _require_sane(file, int(length))
    return int(length)


def _require_sane(file: HubFile, size: int) -> None:
    if size > _MOST_BYTES:
        raise DownloadError(
            f"{_host(file)} sends more than {_MOST_BYTES >> 30} GiB as {file.name}, expected a model's size: check "
            f"{ENDPOINT_VARIABLE} and HTTPS_PROXY"
        )


def _host(file: HubFile) -> str:
    """Return the hub's host and port, without credentials."""
    return urllib.parse.urlsplit(file.url).netloc.rpartition("@")[2]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _require_space(part: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(part.parent).free
    if needed_bytes > free_bytes:
        raise DownloadError(
            f"{part.parent} has {free_bytes / 1e6:.0f} MB free, and {needed_bytes / 1e6:.0f} MB are still to come: "
            "free some space, or choose another place (the cache is in XDG_CACHE_HOME)"
        )
