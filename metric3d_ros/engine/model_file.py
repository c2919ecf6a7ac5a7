"""Finds model files, and explains in one line if one is missing, damaged or no model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from metric3d_ros.errors import Metric3DError, ModelError
from metric3d_ros.files.boundary import reason_of
from metric3d_ros.files.paths import user_path, why_missing
from metric3d_ros.hub.variants import VARIANTS
from metric3d_ros.out_of_memory import is_out_of_memory

DEMO_MODEL = "demo"
DEMO_MODEL_PATH = Path(__file__).parents[1] / "models" / "demo.onnx"


def find_model(model: str | Path) -> Path:
    """Return the path of a model file, or of the demo model if `model` is "demo"; ModelError if there is none."""
    if str(model) == DEMO_MODEL:
        if not DEMO_MODEL_PATH.exists():
            raise ModelError(
                f"the demo model is missing from the installed package ({DEMO_MODEL_PATH}): install metric3d_ros again"
            )
        return DEMO_MODEL_PATH
    path = user_path(model)
    if reason := why_missing(path):
        remedy = f", or make one with `metric3d export vit_small -o {path.name}`" if path.suffix == ".onnx" else ""
        raise ModelError(
            f"model file {path} {reason}: name a file, '{DEMO_MODEL}', or a published model "
            f"({', '.join(VARIANTS)}){remedy}"
        )
    if not path.is_file():
        raise ModelError(f"model {path} is not a file: name the .onnx file itself")
    return path


def damaged(path: Path, reason: object) -> ModelError:
    """Return the error about a file that cannot be loaded; `reason` is a reader's message."""
    if isinstance(reason, Exception) and is_out_of_memory(reason):
        return ModelError(
            f"loading {path} takes more memory than there is ({reason_of(reason)}): take a smaller model or a computer "
            "with more memory; if other models of this size load, the file is damaged"
        )
    if isinstance(reason, OSError):
        return ModelError(
            f"{path} cannot be read ({reason.strerror or reason_of(reason)}): check its permissions, and how many "
            "files this process may open (`ulimit -n`)"
        )
    return ModelError(
        f"{path} cannot be loaded as an ONNX model ({reason_of(reason)}): check that it is complete, with its .data "
        "file beside it if it has one, or make it again with `metric3d export`"
    )


@contextlib.contextmanager
def one_line_about(path: Path) -> Iterator[None]:
    """Read a model file in this context: whatever a library raises about it becomes one `ModelError`.

    The one boundary for model files. A damaged file can make ONNX Runtime and Python's readers raise anything.
    """
    try:
        yield
    except Metric3DError:
        raise
    except Exception as error:  # whatever a damaged file makes of a library
        raise damaged(path, error) from error
