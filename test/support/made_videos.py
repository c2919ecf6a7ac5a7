"""Videos whose frames are told apart by their grey."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metric3d_ros.recordings.videos import VideoWriter

WIDTH, HEIGHT = 96, 64


def write_video(path: Path, times_ns: Sequence[int]) -> Path:
    """Write frames of one grey each, brighter and brighter, at these times; return the path."""
    writer = VideoWriter(path, (HEIGHT, WIDTH))
    for number, time_ns in enumerate(times_ns):
        writer.write(np.full((HEIGHT, WIDTH, 3), 40 + 20 * number, np.uint8), time_ns)
    writer.close()
    return path
