"""From a checkpoint to a checked model file: plan, preparations, writing, comparison, and only then the file's name."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import __version__, model_contract
from metric3d_ros.assembly.model_writer import (
    INLINE_LIMIT_BYTES,
    data_path_of,
    stored_bytes,
    write_metadata,
    write_model,
)
from metric3d_ros.assembly.plan import FLOAT16, Plan, TensorType, load_plan
from metric3d_ros.assembly.plan_files import PLAIN, PLAN_PRECISIONS
from metric3d_ros.assembly.self_check import describe_largest, judge_file, run_plain
from metric3d_ros.assembly.tensor_files import Checkpoint, as_float32
from metric3d_ros.errors import CheckpointError, ConfigurationError, ExportError
from metric3d_ros.files.atomic import temporary_folder
from metric3d_ros.hub.variants import VARIANTS
from metric3d_ros.model_contract import Metadata

ASSEMBLED, CHECKED, PLAN_SHA256, WEIGHTS_SOURCE = "assembled", "checked", "plan_sha256", "weights_source"
"""Metadata keys, after the prefix: who assembled the file, how it was checked, and from what it was made."""

OPSET = 17
_HALF_MAX = 65504.0

Tell = Callable[[str], object]
"""Takes a line on what happens."""


def assemble(
    variant: str,
    checkpoint: Checkpoint,
    path: Path,
    *,
    precision: str = "fp32",
    tell: Tell = lambda line: None,
    inline_limit: int = INLINE_LIMIT_BYTES,
) -> Metadata:
    """Write the model file of a published variant to `path`, its weights beside it if there are many, and check it.

    Raises:
        ConfigurationError: the precision is not one of `plan_files.PLAN_PRECISIONS`.
        CheckpointError: the weights do not fit the variant, or are not finite.
        ExportError: no space, or the file differs from the published operations by more than it may.
    """
    if precision not in PLAN_PRECISIONS:
        raise ConfigurationError(
            f"precision is {precision!r}, expected {' or '.join(PLAN_PRECISIONS)}: make others with `metric3d export`"
        )
    plan, plain = load_plan(variant, precision), load_plan(variant, PLAIN)
    weights = _Weights(plain, checkpoint, variant)
    needed = max(stored_bytes(plan), stored_bytes(plain))  # one is removed before the other is written
    try:
        with temporary_folder(path.parent, path.name) as folder:
            _require_space(folder, needed)
            tell(f"comparing with the published operations: {variant} as published")
            reference = folder / "published.onnx"
            body = write_model(plain, reference, lambda tensor: weights.make(plain, tensor), inline_limit=inline_limit)
            metadata = _metadata(plan, checkpoint, precision)
            write_metadata(reference, body, metadata, {})
            expected = run_plain(reference)
            reference.unlink()
            data_path_of(reference).unlink(missing_ok=True)
            tell(f"assembling {variant} in {precision}: {len(plan.stored)} weights, {stored_bytes(plan) / 1e6:.0f} MB")
            part = folder / path.name
            body = write_model(plan, part, lambda tensor: weights.make(plan, tensor), inline_limit=inline_limit)
            write_metadata(part, body, metadata, {})
            tell(f"comparing {path.name} with {variant} as published")
            differences = judge_file(part, expected, precision)
            metadata = dataclasses.replace(metadata, max_difference=describe_largest(differences))
            notes = {
                ASSEMBLED: f"by metric3d_ros {__version__}, without PyTorch",
                CHECKED: f"against the published operations, one by one, in ONNX Runtime on {len(expected)} batches",
                PLAN_SHA256: plan.sha256,
                WEIGHTS_SOURCE: checkpoint.origin,
            }
            write_metadata(part, body, metadata, notes)
            # The data file first: there is never a model without its weights, nor with another's.
            if data_path_of(part).exists():
                path.unlink(missing_ok=True)
                os.replace(data_path_of(part), data_path_of(path))
            os.replace(part, path)
    except OSError as error:
        raise ExportError(
            f"{path} could not be written ({error.strerror or error}): free some space, or set XDG_CACHE_HOME to "
            "another place"
        ) from error
    return metadata


class _Weights:
    """The published tensors, checked, and what plans make of them."""

    def __init__(self, plain: Plan, checkpoint: Checkpoint, variant: str) -> None:
        self._checkpoint = checkpoint
        self._tensors = checkpoint.tensors
        mismatch = find_mismatch(plain, checkpoint.tensors)
        if mismatch is not None:
            raise CheckpointError(
                f"{checkpoint.file} does not fit {variant}: {mismatch}; {_name_fitting(checkpoint.tensors)}"
            )
        for name in plain.published:
            if not np.isfinite(as_float32(self._tensors[name])).all():
                raise CheckpointError(
                    f"{checkpoint.file} holds NaN or infinity in {name}: the file is damaged, get it again"
                )

    def make(self, plan: Plan, tensor: TensorType) -> npt.NDArray[Any]:
        made = plan.prepare(tensor, _AsFloat32(self._tensors))
        if tensor.kind == FLOAT16 and not np.isfinite(made).all():
            raise ExportError(
                f"{tensor.name} of {self._checkpoint.file} exceeds {_HALF_MAX:.0f}, where float16 ends: use precision "
                "fp32"
            )
        return made


class _AsFloat32(Mapping[str, npt.NDArray[np.float32]]):
    """Tensors by name, as float32 when they are asked for."""

    def __init__(self, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        return as_float32(self._tensors[name])

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _name_fitting(tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    for variant in VARIANTS:
        if find_mismatch(load_plan(variant, PLAIN), tensors) is None:
            return f"it fits {variant}"
    return f"it fits none of {', '.join(VARIANTS)}"


def find_mismatch(plan: Plan, tensors: Mapping[str, npt.NDArray[Any]]) -> str | None:
    """Return what is wrong with the first tensor that does not fit the plan, or None."""
    for name, declared in plan.published.items():
        if name not in tensors:
            return f"{name} {declared.shape} is missing"
        if tensors[name].shape != declared.shape:
            return f"{name} has shape {tensors[name].shape}, expected {declared.shape}"
        if tensors[name].dtype.kind != "f":
            return f"{name} has type {tensors[name].dtype}, expected float32"
    return None


def _metadata(plan: Plan, checkpoint: Checkpoint, precision: str) -> Metadata:
    near, far = (float(word) for word in plan.facts["depth_range_m"].split())
    height, width = (int(word) for word in plan.facts["training_size_hw"].split())
    return Metadata(
        variant=plan.facts["variant"],
        precision=precision,
        size_multiple=int(plan.facts["size_multiple"]),
        depth_range_m=(near, far),
        training_size_hw=(height, width),
        opset=OPSET,
        weights_file=checkpoint.file,
        weights_sha256=checkpoint.sha256,
        exporter_version=__version__,
        max_difference=float("nan"),
        canonical_focal_px=model_contract.CANONICAL_FOCAL_PX,
    )


def _require_space(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise ExportError(
            f"{folder.parent} has {free_bytes / 1e6:.0f} MB free, and the model and its check need "
            f"{needed_bytes / 1e6:.0f} MB: free some space, or set XDG_CACHE_HOME to another place"
        )
