"""`python -m metric3d_export`: the same as `metric3d export`."""

import sys

from metric3d_ros.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
