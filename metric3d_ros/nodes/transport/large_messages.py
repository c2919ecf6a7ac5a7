"""Prepares this process for large messages, before rclpy.init(): shared memory of Fast DDS, buffers of the C allocator.

Both are measured on 1080p images (two processes, reliable, one way): 34 ms as ROS 2 comes, 11 ms with the profile,
3.4 ms with the allocator setting as well. Without the profile a best-effort reader loses nearly every such image.
"""

import atexit
import ctypes
import dataclasses
import importlib.util
import os
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.installed_files import shared_file
from metric3d_ros.nodes.transport.leftovers import PROFILE_PREFIX, hold, remove_leftovers

PROFILE_FILE = "config/fastdds.xml"
SHARED_MEMORY_VARIABLE = "METRIC3D_SHARED_MEMORY_MIB"
ALLOCATOR_VARIABLE = "METRIC3D_KEEP_BUFFERS"

# Fast DDS 2 (up to Jazzy) reads the first name, Fast DDS 3 (from Kilted) the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
_PROFILES_OF_THE_FOLDER = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")
_OTHER_CHOICES = ("FASTDDS_BUILTIN_TRANSPORTS",)

_MIB = 1 << 20
_HELD: list[Any] = []
"""Open files of profiles: see `leftovers`."""
_SHARED_MEMORY_FOLDER = Path("/dev/shm")
# Other processes need /dev/shm too, and one that fills it dies of SIGBUS: take at most half of what is free.
_GREATEST_PART_OF_FREE = 0.5
_LEAST_USEFUL_MIB = 2

# Parameters of glibc's mallopt(3). Above the threshold malloc returns each buffer to the system, so that the next
# message of that size pays a page fault for each 4 KB; the other keeps the heap's freed end.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


@dataclasses.dataclass(frozen=True)
class TransportReport:
    """What was done, in one line for the log."""

    text: str
    is_warning: bool = False
    profile: Path | None = None
    """A profile that was written for this process alone."""

    def with_warning(self, text: str) -> "TransportReport":
        """Return the report with something else that was left out."""
        return dataclasses.replace(self, text=f"{self.text}; {text}", is_warning=True)

    def forget_profile(self) -> None:
        """Remove the profile that was written for this process: Fast DDS has read it once there is a node."""
        if self.profile is not None:
            self.profile.unlink(missing_ok=True)


def prepare_for_large_messages(
    *,
    rmw_implementation: str,
    shared_memory_mib: int | None = None,
    keep_buffers: bool | None = None,
    environment: MutableMapping[str, str] = os.environ,
) -> TransportReport:
    """Point Fast DDS to the shipped profile and let the C allocator keep large buffers.

    The profile is used only if the middleware is Fast DDS and the user has chosen no profile or transports.

    Args:
        rmw_implementation: the middleware's name, such as "rmw_fastrtps_cpp".
        shared_memory_mib: size of the shared-memory segment in MiB, 0 to leave Fast DDS as it is; None takes it from
            METRIC3D_SHARED_MEMORY_MIB, or else from the profile.
        keep_buffers: whether to set the allocator; None takes it from METRIC3D_KEEP_BUFFERS (0 or 1), or else does.

    Raises ConfigurationError for a negative size, and when one of the environment variables has no such value.
    """
    if shared_memory_mib is None:
        shared_memory_mib = _whole_number(environment, SHARED_MEMORY_VARIABLE)
    elif shared_memory_mib < 0:
        raise ConfigurationError(
            f"shared memory is {shared_memory_mib} MiB, expected 0 (leaves Fast DDS as it is) or more"
        )
    if keep_buffers is None:
        keep_buffers = _whole_number(environment, ALLOCATOR_VARIABLE) != 0
    report = _prepare_fastdds(rmw_implementation, shared_memory_mib, environment)
    allocator = _prepare_allocator() if keep_buffers else "allocator left as it is"
    return dataclasses.replace(report, text=f"transport: {report.text}; {allocator}")


def choose_segment_mib(wanted_mib: int, *, free_bytes: int) -> int | None:
    """Return the segment's size in MiB for /dev/shm with `free_bytes` left, or None when too little is left."""
    affordable_mib = int(free_bytes * _GREATEST_PART_OF_FREE) // _MIB
    if affordable_mib < _LEAST_USEFUL_MIB:
        return None
    return min(wanted_mib, affordable_mib)


def read_variables(share: Path | None) -> tuple[str, ...]:
    """Return the variables that name a profile to the Fast DDS of a ROS 2 whose share folder this is.

    Version 3 reads that of version 2 as well, with a warning. Both are returned if it is not known which one it is.
    """
    if share is not None and (share / "fastdds").is_dir() and not (share / "fastrtps").is_dir():
        return PROFILE_VARIABLES[1:]
    return PROFILE_VARIABLES


def _ros_share() -> Path | None:
    """Return the share folder of the ROS 2 that this Python has: its prefix holds lib/python3.x/site-packages/rclpy."""
    found = importlib.util.find_spec("rclpy")
    return Path(found.origin).parents[4] / "share" if found is not None and found.origin else None


def _prepare_fastdds(rmw: str, wanted_mib: int | None, environment: MutableMapping[str, str]) -> TransportReport:
    if "fastrtps" not in rmw:
        return TransportReport(f"{rmw} left as it is")
    freed_mib = remove_leftovers(_SHARED_MEMORY_FOLDER) // _MIB
    freed = f", after {freed_mib} MiB of killed processes were freed" if freed_mib else ""
    if wanted_mib == 0:
        return TransportReport("Fast DDS left as it is, as asked for")
    choice = _users_choice(environment)
    if choice:
        return TransportReport(f"Fast DDS as set by {choice}")
    profile, written = shared_file(PROFILE_FILE), None
    tree = ElementTree.parse(profile)
    segment = tree.find(".//{*}segment_size")
    assert segment is not None, f"{profile} has no segment_size"
    shipped_mib = int(segment.text or 0) // _MIB
    wanted_mib = wanted_mib or shipped_mib
    free_bytes = shutil.disk_usage(_SHARED_MEMORY_FOLDER).free if _SHARED_MEMORY_FOLDER.is_dir() else 0
    size_mib = choose_segment_mib(wanted_mib, free_bytes=free_bytes)
    remedy = "give it more room (docker run --shm-size=512m) or large messages will be slow or lost"
    free = f"{_SHARED_MEMORY_FOLDER} has only {free_bytes // _MIB} MiB free"
    if size_mib is None:
        return TransportReport(f"Fast DDS left with its 0.5 MiB of shared memory: {free}, {remedy}", True)
    if size_mib != shipped_mib:
        segment.text = str(size_mib * _MIB)
        try:
            profile = written = _write_temporary(tree)
        except OSError as error:
            reason = f"{_SHARED_MEMORY_FOLDER} cannot be written ({error.strerror})"
            return TransportReport(f"Fast DDS left with its 0.5 MiB of shared memory: {reason}", True)
    for variable in read_variables(_ros_share()):
        environment[variable] = str(profile)
    if size_mib < wanted_mib:
        text = f"Fast DDS with {size_mib} of {wanted_mib} MiB shared memory{freed}: {free}, {remedy}"
        return TransportReport(text, True, written)
    where = "a profile of its own" if written else profile
    return TransportReport(f"Fast DDS with {size_mib} MiB shared memory ({where}){freed}", profile=written)


def _users_choice(environment: MutableMapping[str, str]) -> str | None:
    """Return what names a profile or transports that the user chose, if anything does."""
    for variable in (*PROFILE_VARIABLES, *_OTHER_CHOICES):
        if environment.get(variable):
            return variable
    if environment.get("SKIP_DEFAULT_XML_FILE") != "1":
        for name in _PROFILES_OF_THE_FOLDER:
            if Path(name).is_file():
                return str(Path(name).resolve())
    return None


def _write_temporary(tree: "ElementTree.ElementTree[ElementTree.Element]") -> Path:
    """Write a profile for this process alone; Fast DDS takes none but from a file, and reads it with the first node.

    It stands beside the shared memory, so that no other folder need be writable, and is held as segments are: the next
    process removes it if this one is killed.
    """
    namespace = tree.getroot().tag.partition("}")[0].lstrip("{")
    ElementTree.register_namespace("", namespace)
    handle, name = tempfile.mkstemp(prefix=PROFILE_PREFIX, suffix=".xml", dir=_SHARED_MEMORY_FOLDER)
    file = os.fdopen(handle, "wb")  # stays open, and with it the lock
    hold(handle)
    tree.write(file, encoding="UTF-8", xml_declaration=True)
    file.flush()
    path = Path(name)
    _HELD.append(file)
    atexit.register(path.unlink, missing_ok=True)
    return path


def _prepare_allocator() -> str:
    try:
        libc = ctypes.CDLL("libc.so.6")
        kept = libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
    except (OSError, AttributeError):
        kept = 0
    return "freed buffers are kept for the next message" if kept else "allocator left as it is (no glibc)"


def give_back_memory() -> None:
    """Return what the C allocator keeps of freed buffers to the system; the next message takes its memory anew."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def _whole_number(environment: MutableMapping[str, str], variable: str) -> int | None:
    text = environment.get(variable, "").strip()
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise ConfigurationError(f"{variable} is {text!r}, expected a whole number from 0 up (0 switches it off)")
    return number
