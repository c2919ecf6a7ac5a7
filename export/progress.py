"""Stage lines: what a long job is doing, and since when."""

import time


class Progress:
    """Prints each stage with the seconds since the start; the lines are for people and go to standard output."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def stage(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f} s] {text}", flush=True)


class Silence(Progress):
    """Prints nothing."""

    def stage(self, text: str) -> None:
        pass
