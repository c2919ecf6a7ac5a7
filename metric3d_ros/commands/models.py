"""`metric3d models`: the published models, which of them are on this machine, and their licences."""

from __future__ import annotations

import argparse

from metric3d_ros.assembly.model_names import ModelName, all_model_names
from metric3d_ros.assembly.model_store import Entry, checkpoint_path, look_up, model_path
from metric3d_ros.assembly.model_writer import data_path_of, stored_bytes
from metric3d_ros.assembly.plan import load_plan
from metric3d_ros.engine import DEMO_MODEL, DEMO_MODEL_PATH
from metric3d_ros.files.boundary import is_readable
from metric3d_ros.hub.published import LICENCE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the table; return 0."""
    print(f"{'name':20s} {'MB':>7s}  on this machine")
    print(f"{DEMO_MODEL:20s} {DEMO_MODEL_PATH.stat().st_size / 1e6:7.1f}  {DEMO_MODEL_PATH} (small, for trying)")
    for name in all_model_names():
        print(f"{name!s:20s} {stored_bytes(load_plan(name.variant, name.precision)) / 1e6:7.1f}  {_where(name)}")
    print(f"Licence: {DEMO_MODEL} is Apache-2.0, as this package. Of all others, {LICENCE}.")
    print("`metric3d fetch NAME` makes one ahead of time; `model:=NAME` makes it when it is first used.")
    return 0


def _where(name: ModelName) -> str:
    entry, path = look_up(name), model_path(name)
    beside = f" and {data_path_of(path).name}" if is_readable(data_path_of(path)) else ""
    if entry is Entry.WHOLE:
        return f"{path}{beside}"
    if entry is not Entry.MISSING:
        return f"{path}{beside}: {entry.value}, rebuilt when it is used"
    return f"no, but its download: {checkpoint_path(name)}" if is_readable(checkpoint_path(name)) else "no"
