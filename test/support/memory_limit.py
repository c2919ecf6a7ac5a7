"""Little memory, as a container or `ulimit -v` gives it."""

import contextlib
import resource
from pathlib import Path


@contextlib.contextmanager
def memory_of(spare_bytes):
    """Let this process take so many bytes more of its address space than now, and no more."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + spare_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
