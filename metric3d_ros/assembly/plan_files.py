"""Where the plans of model files lie in the package, and how they are read."""

from __future__ import annotations

import enum
import zlib
from pathlib import Path

from metric3d_ros.errors import ModelError

PLAN_FOLDER = Path(__file__).parent / "plans"
PLAN_PRECISIONS = ("fp32", "fp16")
"""The precisions that model files can be assembled in."""
PLAIN = "plain"
"""The plan of the published operations, one by one, with which an assembled file is compared."""


class PlanPart(enum.Enum):
    """The two ONNX graphs of a plan."""

    GRAPH = "graph"
    """From images to depth, with its weights declared as inputs."""
    PREPARATIONS = "preparations"
    """From published tensors to those weights."""


def plan_path(variant: str, precision: str, part: PlanPart, *, folder: Path = PLAN_FOLDER) -> Path:
    """Return the file of one part of a plan."""
    return folder / f"{variant}.{precision}.{part.value}.onnx.gz"


def read_part(variant: str, precision: str, part: PlanPart) -> bytes:
    """Return the ONNX file of one part of a plan.

    Raises:
        ModelError: it is not in the package, or damaged.
    """
    import gzip  # only now: every start of a node would pay for it

    path = plan_path(variant, precision, part)
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ModelError(
            f"the plan {path} cannot be read ({error}), expected a gzipped ONNX file of the package: install "
            "metric3d_ros again"
        ) from error
