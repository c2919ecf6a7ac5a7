"""Videos whose frames are told apart by their grey."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from metric3d_ros.recordings.videos import VideoWriter
from metric3d_ros.runs.sources import video_files

WIDTH, HEIGHT = 96, 64


def write_video(path: Path, times_ns: Sequence[int]) -> Path:
    """Write frames of one grey each, brighter and brighter, at these times; return the path."""
    writer = VideoWriter(path, (HEIGHT, WIDTH))
    for number, time_ns in enumerate(times_ns):
        writer.write(np.full((HEIGHT, WIDTH, 3), (40 + 20 * number) % 256, np.uint8), time_ns)
    writer.close()
    return path


class Altered:
    """An open video whose pictures go through `alter`."""

    def __init__(self, container, alter):
        self._container, self._alter = container, alter

    def __getattr__(self, name):
        return getattr(self._container, name)

    def decode(self, stream):
        for number, picture in enumerate(self._container.decode(stream)):
            yield self._alter(number, picture)


def alter_pictures(monkeypatch: pytest.MonkeyPatch, alter: Callable) -> None:
    """Let what runs read of videos go through `alter`, which takes a picture's number and the picture."""
    opened = video_files._opened

    @contextlib.contextmanager
    def altered(source):
        with opened(source) as container:
            yield Altered(container, alter)

    monkeypatch.setattr(video_files, "_opened", altered)
