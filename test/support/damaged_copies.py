"""Feeds readers with damaged copies of a good file: each is refused in one line, or harmless, in time and in memory."""

from __future__ import annotations

import random
import resource
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from mutations import damage

from metric3d_ros.errors import Metric3DError

MOST_SECONDS = 1.0
MOST_GROWTH_BYTES = 512 << 20
MOST_MESSAGE_LETTERS = 1200


def check_damaged(
    read: Callable[[Path], object],
    good: Path,
    damaged: Path,
    seeds: Iterable[int],
    *,
    most_seconds: float = MOST_SECONDS,
) -> int:
    """Read a damaged copy of `good` for each seed; return how many were refused.

    Fails, naming the seed, when anything but a Metric3DError of one line comes out, when that does not name the file,
    when the thread took longer than `most_seconds` of processor time, or when memory grew beyond MOST_GROWTH_BYTES.
    """
    content, refused, leaks = good.read_bytes(), 0, []
    read(good)
    peak_before = _peak_bytes()
    for seed in seeds:
        damaged.write_bytes(damage(content, random.Random(f"{good.name} {seed}")))
        started_s = time.process_time()
        try:
            read(damaged)
        except Metric3DError as error:
            refused += 1
            text = str(error)
            if damaged.name not in text or "\n" in text or len(text) > MOST_MESSAGE_LETTERS:
                leaks.append(f"seed {seed}: no one line about {damaged.name}: {text[:300]!r}")
        except Exception as error:
            leaks.append(f"seed {seed}: {type(error).__name__}: {str(error)[:200]} {_where(error)}")
        taken_s = time.process_time() - started_s
        if taken_s > most_seconds:
            leaks.append(f"seed {seed}: it took {taken_s:.1f} s")
        if _peak_bytes() - peak_before > MOST_GROWTH_BYTES:
            leaks.append(f"seed {seed}: it took {(_peak_bytes() - peak_before) >> 20} MiB")
            peak_before = _peak_bytes()
    assert not leaks, f"{len(leaks)} leaks of {good.name}:\n" + "\n".join(leaks[:20])
    return refused


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"({Path(last.filename).name}:{last.lineno})"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
