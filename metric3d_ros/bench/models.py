"""The models that a benchmark needs: made once by the export tool with stand-in weights, or existing files."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from metric3d_ros import __version__
from metric3d_ros.errors import ConfigurationError, ExportError
from metric3d_ros.program import describe_failure

PLAIN, OPTIMISED = "plain", "optimised"
"""The network op for op, and the graph that `metric3d export` writes unless told otherwise."""

_EXPORT_NEEDS = ("metric3d_export", "torch", "onnx", "onnxscript")


def missing_for_export() -> str | None:
    """Return the first package that is missing for making models, None if all are there; imports none of them."""
    return next((name for name in _EXPORT_NEEDS if importlib.util.find_spec(name) is None), None)


def make_model(variant: str, *, precision: str, form: str, log: Callable[[str], None]) -> Path:
    """Return a file of `variant` with stand-in weights, made by a process of the export tool unless it is there.

    Files are kept by the version and the sources of the export tool, so that none is older than the tool. Raises
    ConfigurationError if that tool is missing, ExportError with its message if it fails.
    """
    path = model_path(variant, precision=precision, form=form)
    if path.exists():
        return path
    missing = missing_for_export()
    if missing is not None:
        raise ConfigurationError(
            f"{missing} is not installed, which making {variant} needs: `pip install '.[export]'` in the source "
            "folder, or name files with --model"
        )
    log(f"making {path.name} (kept in {path.parent}) ...")
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "metric3d_export", variant, "--output", str(path), "--precision", precision]
    command += ["--stand-in-weights", "--no-benchmark", "--allow-degraded", "--force"]
    command += ["--no-optimize"] if form == PLAIN else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = describe_failure(done.returncode, done.stderr)
        raise ExportError(f"{variant} could not be made as {form} {precision}: {reason}")
    return path


def model_path(variant: str, *, precision: str, form: str) -> Path:
    """Return where `make_model` keeps a file."""
    return models_folder() / f"{variant}-{form}-{precision}.onnx"


def models_folder() -> Path:
    """Return where the models of this version of the export tool are kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "metric3d" / "bench" / f"{__version__}-{_hash_sources()[:12]}"


def _hash_sources() -> str:
    """Return the SHA-256 of the export tool's sources, without those that train the demo model."""
    spec = importlib.util.find_spec("metric3d_export")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0])
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if name.parts[0] != "demo_model":
            digest.update(bytes(name) + b"\0" + path.read_bytes())
    return digest.hexdigest()
