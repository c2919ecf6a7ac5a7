"""`python -m metric3d_ros.demo`: the same as `metric3d demo`."""

import sys

from metric3d_ros.cli import main

if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
