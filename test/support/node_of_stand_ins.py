"""Runs depth_node with another SHA-256 for the published checkpoints, so that a local hub can serve made-up ones."""

import json
import os
import sys

from metric3d_ros.hub import published
from metric3d_ros.nodes.depth_node import main

STAND_INS = "TEST_STAND_INS"
"""Environment variable with the hashes by variant, as JSON."""

if __name__ == "__main__":
    published.SHA256.update(json.loads(os.environ[STAND_INS]))
    sys.exit(main())
