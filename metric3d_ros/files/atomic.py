"""Files and folders that appear complete or not at all, whoever writes beside this process and whenever one is killed.

What grows has a temporary name of its own, in the folder where it will be, and is locked by its writer. So a lock that
nobody holds tells what a killed process has left, and that is removed by the next one that writes there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.exclusive import is_at, save_to_disk

_TEMPORARY = re.compile(r"\..*\.\d+-[0-9a-f]{8}\.part")
_MOST_STEM_BYTES = 200
"""Of a temporary name: file systems allow 255 bytes."""
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)

_MOST_CLEANED = 1000

_cleaned: set[Path] = set()
_cleaned_lock = threading.Lock()


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a UTF-8 file; see `replacing`."""
    with replacing(path, durable=durable) as file:
        file.write(text.encode())


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Yield an open file that takes the name `path` when the context ends, in place of what has it then.

    If the context raises, or the process dies, `path` is as it was. Its folder is made. What is not a regular file, as
    /dev/stdout is not, is written to directly, and so is a file in a folder that nothing can be added to.

    Args:
        path: the file to write; a link is followed.
        durable: whether it is written through to the disk, so that it survives a power failure.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    before = _status(path)
    temporary: Path | None = None
    if _can_be_replaced(path, before):
        path = Path(os.path.realpath(path))
        _clean_once(path.parent)
        try:
            temporary, descriptor = _new_file(path)
        except OSError:
            if before is None or not os.access(path, os.W_OK):
                raise
    if temporary is None:
        with path.open("wb") as file:
            yield file
        return
    try:
        with os.fdopen(descriptor, "wb") as file:
            if before is not None:
                with contextlib.suppress(OSError):
                    os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:  # an interruption too: half a file must not stay
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        save_to_disk(path.parent)


@contextlib.contextmanager
def new_folder(parent: Path, names: Iterable[str], *, durable: bool = False) -> Iterator[list[Path]]:
    """Yield a folder to fill, alone in a list; when the context ends it is moved to the first free name in `parent`.

    The list then holds the folder under that name. If the context raises, or the process dies, nothing is there. Of
    several processes that want one name, one gets it and the others get the next ones.

    Raises FileExistsError if none of `names` is free.
    """
    parent.mkdir(parents=True, exist_ok=True)
    names = list(names)
    with temporary_folder(parent, names[0]) as growing:
        found = [growing]
        yield found
        if durable:
            for path in [*growing.rglob("*"), growing]:
                save_to_disk(path)
        found[0] = _take_name(growing, parent, names)
        if durable:
            save_to_disk(parent)


@contextlib.contextmanager
def temporary_folder(parent: Path, stem: str) -> Iterator[Path]:
    """Yield a new folder in `parent`, which is removed when the context ends, unless it was moved meanwhile.

    Folders and files that killed processes have left in `parent` are removed first.
    """
    remove_abandoned(parent)
    folder, descriptor = _new_folder(parent, stem)
    try:
        yield folder
    finally:
        if is_at(descriptor, folder):
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


@contextlib.contextmanager
def scratch_folder(stem: str) -> Iterator[Path]:
    """Yield a new folder that only this user can read, in the system's folder for temporary files; see above."""
    with temporary_folder(Path(tempfile.gettempdir()), stem) as folder:
        folder.chmod(stat.S_IRWXU)
        yield folder


def check_writable(path: Path) -> None:
    """Raise OSError if `path` cannot be written; leaves what is there as it is, and no trace of the trial."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    if not _can_be_replaced(path, _status(path)):
        return
    path = Path(os.path.realpath(path))
    try:
        temporary, descriptor = _new_file(path)
    except OSError:
        if not path.exists():
            raise
        return
    try:
        os.write(descriptor, bytes(1))
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            temporary.unlink()


def require_writable(path: Path, *, what: str) -> None:
    """Raise ConfigurationError if `path` cannot be written, before the work whose result it would hold.

    `what` names the file in the error, such as "--json figures.json".
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"{what}: there is no folder {path.parent}; make it first")
    try:
        check_writable(path)
    except OSError as error:
        raise ConfigurationError(f"{what} cannot be written ({error.strerror}); name another file") from error


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes of this package have left in `folder` under temporary names."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_unless_held(Path(entry.path), is_folder=entry.is_dir(follow_symlinks=False))


def _clean_once(folder: Path) -> None:
    """Clean a folder once in a process: to list it for each of thousands of files would take longer than to write."""
    if _TEMPORARY.fullmatch(folder.name):
        return
    with _cleaned_lock:
        if folder in _cleaned:
            return
        if len(_cleaned) == _MOST_CLEANED:
            _cleaned.clear()
        _cleaned.add(folder)
    remove_abandoned(folder)


def _remove_unless_held(path: Path, *, is_folder: bool) -> None:
    kind = os.O_DIRECTORY if is_folder else os.O_NONBLOCK
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | kind)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if its writer lives, or if nothing can be known
        if not is_at(descriptor, path):
            return
        if is_folder:
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    finally:
        os.close(descriptor)


def _new_file(path: Path) -> tuple[Path, int]:
    """Make the file in which `path` grows, locked; return it and its descriptor."""
    while True:
        temporary = _temporary(path.parent, path.name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(temporary, flags, 0o666)
        if _hold(descriptor, temporary):
            return temporary, descriptor


def _new_folder(parent: Path, stem: str) -> tuple[Path, int]:
    while True:
        folder = _temporary(parent, stem)
        folder.mkdir()
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # another process took it for abandoned
            continue
        if _hold(descriptor, folder):
            return folder, descriptor


def _hold(descriptor: int, path: Path) -> bool:
    """Lock what was just made; return False, and close it, if another process took it for abandoned before."""
    with contextlib.suppress(OSError):  # a file system without locks: there nothing is taken for abandoned
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if is_at(descriptor, path):
        return True
    os.close(descriptor)
    return False


def _temporary(folder: Path, stem: str) -> Path:
    short = os.fsdecode(os.fsencode(stem)[:_MOST_STEM_BYTES])
    return folder / f".{short}.{os.getpid()}-{os.urandom(4).hex()}.part"


def _take_name(growing: Path, parent: Path, names: Iterable[str]) -> Path:
    for name in names:
        folder = parent / name
        if folder.is_symlink() or folder.exists():
            continue
        try:
            growing.rename(folder)
        except OSError as error:  # another process was faster
            if error.errno in _TAKEN:
                continue
            raise
        return folder
    raise FileExistsError(errno.EEXIST, "every name is taken", str(parent))


def _can_be_replaced(path: Path, status: os.stat_result | None) -> bool:
    """Return whether a new file can take the place of what is there: not of a device, a pipe or an open descriptor."""
    if Path(os.path.abspath(path)).parts[1:2] in (("dev",), ("proc",)) and "shm" not in path.parts:
        return False
    return status is None or stat.S_ISREG(status.st_mode)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
