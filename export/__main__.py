"""`python -m metric3d_export`: the same as `metric3d export`."""

import argparse
import sys

from metric3d_export.cli import add_arguments, run
from metric3d_ros.errors import Metric3DError
from metric3d_ros.interruption import INTERRUPTED, Interruptible


def main() -> int:
    """Run the export command; return its exit status."""
    parser = argparse.ArgumentParser(prog="metric3d export", description="Turn published weights into an ONNX file.")
    add_arguments(parser)
    args = parser.parse_args()
    try:
        with Interruptible():
            return run(args)
    except Metric3DError as error:
        print(f"metric3d export: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("metric3d export: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
