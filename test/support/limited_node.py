"""Runs depth_node with a model that takes a set time for each megapixel and has memory for a set number of pixels.

Its first run may wait for a file.
"""

import os
import sys
import time
from pathlib import Path

from metric3d_ros.errors import OutOfMemoryError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.nodes.depth_node import main

MS_PER_MEGAPIXEL, MOST_PIXELS, WAIT_FOR = "TEST_MS_PER_MEGAPIXEL", "TEST_MOST_PIXELS", "TEST_WAIT_FOR"


class LimitedModel:
    """A model with limits from the environment."""

    def __init__(self, model):
        self._model = model
        self._ms_per_megapixel = float(os.environ.get(MS_PER_MEGAPIXEL, "0"))
        self._most_pixels = float(os.environ.get(MOST_PIXELS, "inf"))
        self._wait_for = Path(os.environ.get(WAIT_FOR, "/"))

    def __getattr__(self, name):
        return getattr(self._model, name)

    def run(self, feeds, *, outputs):
        pixels = feeds["image"].shape[1] * feeds["image"].shape[2]
        if pixels > self._most_pixels:
            raise OutOfMemoryError(f"no memory for {pixels} pixels")
        while not self._wait_for.exists():
            time.sleep(0.01)
        time.sleep(pixels / 1e6 * self._ms_per_megapixel / 1e3)
        return self._model.run(feeds, outputs=outputs)


if __name__ == "__main__":
    sys.exit(main(open_model=lambda *arguments, **options: LimitedModel(open_model(*arguments, **options))))
