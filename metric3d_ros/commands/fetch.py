"""`metric3d fetch`: downloads and assembles a published model ahead of time, and copies it to another place."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from metric3d_ros.assembly.model_names import ModelName, all_model_names, parse_model_name
from metric3d_ros.assembly.model_store import obtain, remove
from metric3d_ros.assembly.model_writer import data_path_of
from metric3d_ros.assembly.plan_files import PLAN_PRECISIONS
from metric3d_ros.assembly.steps import tell_terminal
from metric3d_ros.engine import DEMO_MODEL
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.files.atomic import replacing

_COPIED_BYTES = 1 << 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    names = ", ".join(map(str, all_model_names()))
    parser.add_argument("name", metavar="NAME", help=f"the model: {names}")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.onnx", help="copy the model there, for a robot without internet"
    )
    parser.add_argument("--precision", choices=PLAN_PRECISIONS, help="the same as NAME:PRECISION")
    parser.add_argument("--force", action="store_true", help="overwrite the output file")
    parser.add_argument("--remove", action="store_true", help="remove the model and its download from the cache")


def run(args: argparse.Namespace) -> int:
    """Make a model, or remove it; return 0. Raises a Metric3DError with the remedy in one line."""
    if args.name == DEMO_MODEL:
        raise ConfigurationError(f"model {DEMO_MODEL} comes with this package: use it with model:={DEMO_MODEL}")
    name = parse_model_name(args.name)
    if name is None:
        raise ConfigurationError(
            f"model is {args.name!r}, expected one of {', '.join(map(str, all_model_names()))}: make others with "
            "`metric3d export`"
        )
    if args.precision is not None:
        if ":" in args.name and name.precision != args.precision:
            raise ConfigurationError(f"{args.name} and --precision {args.precision} contradict each other: give one")
        name = ModelName(name.variant, args.precision)
    if args.remove:
        freed = remove(name, tell_terminal())
        done = f"removed {name} and its download: {freed / 1e6:.1f} MB are free again"
        print(done if freed else f"{name} is not in the cache, and nothing of its download")
        return 0
    if args.output is not None:
        _check_output(args.output, overwrite=args.force)
    path = obtain(name, tell_terminal())
    if args.output is not None:
        _copy(path, args.output)
    model = open_model(args.output or path, provider="cpu")
    use = f"model:={args.output.resolve()}" if args.output else f"model:={name}"
    print(f"{args.output or path}: {name} with {', '.join(sorted(model.outputs))}; use it with {use}")
    return 0


def _check_output(path: Path, *, overwrite: bool) -> None:
    if path.suffix != ".onnx":
        raise ConfigurationError(f"output {path} does not end in .onnx: name it {path.with_suffix('.onnx')}")
    if not path.parent.is_dir():
        raise ConfigurationError(f"output directory {path.parent} does not exist: create it, or choose another")
    if not os.access(path.parent, os.W_OK):
        raise ConfigurationError(f"output directory {path.parent} is not writable: choose another")
    if path.is_dir():
        raise ConfigurationError(f"output {path} is a directory: name a file in it")
    if path.exists() and not overwrite:
        raise ConfigurationError(f"output {path} exists: choose another name, or overwrite it with --force")


def _copy(path: Path, output: Path) -> None:
    """Copy a model and its data file, which keeps its name: the model names it."""
    data = data_path_of(path)
    files = {path: output} | ({data: output.with_name(data.name)} if data.is_file() else {})
    try:
        for source, target in reversed(files.items()):  # the weights first: there is never a model without them
            with source.open("rb") as original, replacing(target, durable=True) as copy:
                shutil.copyfileobj(original, copy, _COPIED_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"output {output} cannot be written ({error.strerror}): free some space, or choose another place"
        ) from error
