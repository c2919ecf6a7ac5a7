"""Notices that another process removed the shared-memory port at which this one listens: nothing would come any more.

Fast DDS gives a node that is restarted after a crash the port of the one that died. Those who sent to the dead one make
its port anew with every message until its lease ends (20 s), and remove it, and the mutex that guards it, before the
next. If the new node opens the port in between, two mutexes of one name exist: the sender then removes the new node's
port by its name, and the node waits at a file without a name while all send to another. Nothing in Fast DDS notices
(seen in 2.14 and in the source of 3.6). A new participant helps, if it does not take the same port again, which goes on
being removed until the lease ends; so the lost port is kept from it.
"""

import fcntl
import os
import re
import time
from pathlib import Path

from metric3d_ros.files.exclusive import is_at

_LOCK = re.compile(r"((?:fastrtps|fastdds)_port\d+)_el")
_LOOK_S = 1.0
_MOST_TRIES = 10
_DELETED = " (deleted)"
_SHM = Path("/dev/shm")


class PortWatch:
    """Looks once a second whether this process's own ports can still be found by their names."""

    def __init__(self, *, folder: Path = _SHM, process: Path = Path("/proc/self")) -> None:
        """Watch the ports in `folder` that `process` reads, a directory of /proc."""
        self._folder, self._process = folder, process
        self._next_s = time.monotonic() + _LOOK_S
        self._missing: set[str] = set()

    def lost(self) -> list[str]:
        """Return the names of ports that were missing at two looks; call it as often as is convenient.

        Fast DDS itself replaces a port that it finds damaged, which one look may see half done.
        """
        now_s = time.monotonic()
        if now_s < self._next_s:
            return []
        self._next_s = now_s + _LOOK_S
        before, self._missing = self._missing, self.missing()
        return sorted(before & self._missing)

    def missing(self) -> set[str]:
        """Return the ports that this process has locked and mapped, and whose names lead elsewhere or nowhere."""
        try:
            own = self._own()
            mapped = self._mapped() if own else {}
        except OSError:  # no such system
            return set()
        return {name for name in own & mapped.keys() if self._inode(name) not in mapped[name]}

    def _own(self) -> set[str]:
        """Return the ports whose lock files are open: the reader of a port holds its lock while it lives."""
        names = set()
        for descriptor in (self._process / "fd").iterdir():
            try:
                target = Path(os.readlink(descriptor))
            except OSError:  # closed meanwhile
                continue
            match = _LOCK.fullmatch(target.name.removesuffix(_DELETED))
            if match and target.parent == self._folder:
                names.add(match[1])
        return names

    def _mapped(self) -> dict[str, set[int]]:
        """Return the inodes of all ports that are mapped, whether or not they still have a name."""
        inodes: dict[str, set[int]] = {}
        for line in (self._process / "maps").read_text().splitlines():
            words = line.split(maxsplit=5)
            if len(words) == 6 and words[5].startswith(str(self._folder)):
                inodes.setdefault(Path(words[5].removesuffix(_DELETED)).name, set()).add(int(words[4]))
        return inodes

    def _inode(self, name: str) -> int | None:
        try:
            return (self._folder / name).stat().st_ino
        except OSError:
            return None


def keep_from_use(port: str, *, folder: Path = _SHM) -> bool:
    """Hold the lock of a lost port until this process ends; return whether that could be done.

    A new participant then listens at the next free port, and those who still send to the lost one take it for one that
    is read, and no longer remove it. To be called once the participant that lost the port is gone.
    """
    path = folder / f"{port}_el"
    for _ in range(_MOST_TRIES):
        try:
            lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process listens there
            os.close(lock)
            return False
        if is_at(lock, path):
            return True  # the lock ends with the process
        os.close(lock)  # of a file that was removed in between, which nobody finds any more
    return False
