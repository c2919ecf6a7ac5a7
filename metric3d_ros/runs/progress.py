"""How far a run is: a bar on a terminal, a line now and then in a log; one for all workers."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm

_LOG_EVERY_S = 30.0


def describe_duration(seconds: float) -> str:
    """Return seconds as hours and minutes, or minutes and seconds."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


class Progress:
    """The bar has the rate, the time that is left, and how many frames failed."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._bar: Any = None
        self._total = self._done = self._before = self._failed = 0
        self._started_s = self._logged_s = now_s()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, total: int, done: int) -> None:
        """Show how many frames there are, and how many are done."""
        self._total, self._done, self._before = total, done, done
        self._started_s = self._logged_s = self._now_s()
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit="frame", dynamic_ncols=True)

    @property
    def done_now(self) -> int:
        """How many frames were counted that did not fail."""
        return self._done - self._before - self._failed

    def note(self, line: Mapping[str, Any]) -> None:
        """Count a frame by its line of the manifest."""
        self._done += 1
        self._failed += "failed" in line
        now_s = self._now_s()
        if self._bar is not None:
            if "failed" in line:
                self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
            self._bar.total = max(self._bar.total, self._done)
            self._bar.update()
        elif now_s - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = now_s
            rate = (self._done - self._before) / (now_s - self._started_s)
            left = describe_duration(max(0, self._total - self._done) / rate)
            failed = f", {self._failed} failed" if self._failed else ""
            line_out = f"{self._done} of about {self._total} frames{failed}, {rate:.2f} a second, {left} left"
            print(line_out, file=sys.stderr, flush=True)
