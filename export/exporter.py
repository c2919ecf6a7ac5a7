"""The export from start to end: trace, store, check, verify, and only then give the file its name."""

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from metric3d_export.checks.guard import DEGRADED, describe_departures, judge, make_rooms, require_faithful
from metric3d_export.checks.verify import Case, compare, make_cases, require_acceptable
from metric3d_export.graph.model_file import INLINE_LIMIT_BYTES, check_model_file, data_path_of
from metric3d_export.graph.tracing import OPSET, trace_graph
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.precision.precisions import find_precision, rewrite_and_store
from metric3d_export.precision.weight_rounding import parameters_replaced, reduce_parameters
from metric3d_export.progress import Progress
from metric3d_export.report.record import ExportReport, report_paths
from metric3d_export.weights.checkpoints import hash_tensors
from metric3d_ros import __version__
from metric3d_ros.comparison.differences import Difference, Figure
from metric3d_ros.engine.process_memory import peak_memory_bytes
from metric3d_ros.errors import ConfigurationError, ExportError
from metric3d_ros.files.atomic import temporary_folder
from metric3d_ros.files.exclusive import hold_folder, save_to_disk
from metric3d_ros.model_contract import CONFIDENCE, DEPTH, Metadata

WEIGHTS_SOURCE = "weights_source"
"""Metadata key, after the prefix, of the repository and commit that the weights were downloaded from."""

PROBE_BYTES = 1 << 20
"""Written to the output directory, and removed, before any work is done."""


def export_model(
    network: DepthNetwork,
    path: Path | str,
    *,
    precision: str = "fp32",
    weights_file: str = "unnamed",
    weights_sha256: str | None = None,
    weights_source: str = "",
    notes: Mapping[str, str] | None = None,
    training_size_hw: tuple[int, int] | None = None,
    overwrite: bool = False,
    verified_sizes_hw: Sequence[tuple[int, int]] = (),
    allow_degraded: bool = False,
    optimise: bool = True,
    inline_limit_bytes: int = INLINE_LIMIT_BYTES,
    progress: Progress | None = None,
) -> ExportReport:
    """Write a network as a verified ONNX file; return what was written and its differences from PyTorch.

    Args:
        network: with its weights, from `checkpoints.load_network` or a training; on the CPU.
        path: of the file to write; a model of more than `inline_limit_bytes` has its weights in PATH.data beside it.
        precision: a key of `precisions.PRECISIONS`.
        weights_file: for the metadata: where the weights come from.
        weights_sha256: for the metadata; None hashes the network's tensors.
        weights_source: for the metadata: the repository and commit they were downloaded from, if they were.
        notes: further metadata, by name.
        training_size_hw: for the metadata: what the network was trained at; None takes the variant's.
        overwrite: replace files that exist.
        verified_sizes_hw: sizes to verify besides `precision_limits.SIZES_NHW`.
        allow_degraded: keep a model that deviates from float32 by more than its precision's limits, and note that in
            its metadata under `guard.DEGRADED`.
        optimise: False stores the published operations one by one.

    Raises:
        ConfigurationError: the path cannot be written, or the precision is unknown.
        ExportError: the graph is invalid, or differs from PyTorch by more than `precision_limits.EXACT_LIMITS`, or
            from float32 by more than its precision's limits.
    """
    started = time.monotonic()
    progress = progress or Progress()
    path = Path(path)
    check_output_path(path, overwrite=overwrite)
    kind = find_precision(precision)
    network.eval()
    variant = network.variant
    with _writing(path), temporary_folder(path.parent, path.name) as directory:
        _require_space(path, kind.bytes_per_weight * sum(tensor.numel() for tensor in network.state_dict().values()))
        sha256 = weights_sha256 or hash_tensors(dict(network.state_dict()))
        rooms: list[Case] = []
        patterns: list[Case] = []
        if kind.guard is not None:
            rooms = make_rooms(network, progress=progress)
            patterns = make_cases(network, more_sizes_hw=verified_sizes_hw, progress=progress)
        stored_parameters: dict[str, Tensor] = {}
        if kind.read_back is not None:
            stored_parameters = reduce_parameters(network, kind.read_back, steps=kind.steps, progress=progress)
        with parameters_replaced(network, stored_parameters):
            cases: list[Case] = []
            if kind.exact:  # it must agree with PyTorch given the weights that it holds
                cases = make_cases(network, more_sizes_hw=verified_sizes_hw, progress=progress)
            progress.stage("tracing the graph")
            traced = trace_graph(network, optimise=optimise, scales_in_weights=kind.scales_in_weights)
        del stored_parameters
        del network
        count = len(traced.weights)
        progress.stage(f"storing {len(traced.model.graph.node)} operators and {count} weights as {precision}")
        with tqdm(desc="storing", unit="B", unit_scale=True, leave=False, disable=None) as bar:
            stored = rewrite_and_store(
                traced,
                directory / path.name,
                precision=precision,
                inline_limit_bytes=inline_limit_bytes,
                on_bytes=bar.update,
            )
        del traced
        metadata = Metadata(
            variant=variant.name,
            precision=precision,
            size_multiple=variant.size_multiple,
            depth_range_m=variant.depth_range_m,
            training_size_hw=training_size_hw or variant.training_size_hw,
            opset=OPSET,
            weights_file=weights_file,
            weights_sha256=sha256,
            exporter_version=__version__,
            max_difference=float("nan"),
        )
        stored.write_metadata(metadata)
        progress.stage("checking the file with onnx.checker")
        check_model_file(stored.path)
        differences: list[Difference] = []
        departures: list[Difference] = []
        if kind.exact:
            differences += compare(stored.path, cases, progress=progress)
            require_acceptable(differences)
        if kind.guard is not None:
            more, departures = judge(stored.path, kind.guard, rooms=rooms, patterns=patterns, progress=progress)
            differences += more
        degraded = describe_departures(departures)
        if degraded and not allow_degraded:
            require_faithful(departures, precision=precision)
        largest = max(d[Figure.LARGEST] for d in differences if d.output in (DEPTH, CONFIDENCE))
        metadata = dataclasses.replace(metadata, max_difference=largest)
        notes = {**(notes or {}), WEIGHTS_SOURCE: weights_source, DEGRADED: degraded}
        stored.write_metadata(metadata, notes={name: note for name, note in notes.items() if note})
        file_bytes = stored.bytes
        # The data file first: there is never a model without its weights, nor with another's.
        # Held, so that another export to this place cannot bring its weights to this model.
        for file in filter(None, (stored.data_path, stored.path)):
            save_to_disk(file)
        with hold_folder(path.parent):
            if stored.data_path is not None:
                path.unlink(missing_ok=True)
                os.replace(stored.data_path, data_path_of(path))
            os.replace(stored.path, path)
            if stored.data_path is None:
                data_path_of(path).unlink(missing_ok=True)  # of the model that was overwritten
        save_to_disk(path.parent)
    return ExportReport(
        metadata=metadata,
        file=path.name,
        file_bytes=file_bytes,
        differences=differences,
        departures=departures,
        degraded=degraded or None,
        source=weights_source or None,
        operators=dict(stored.operators),
        export_s=time.monotonic() - started,
        peak_memory_bytes=peak_memory_bytes(),
    )


def check_output_path(path: Path, *, overwrite: bool) -> None:
    """Raise ConfigurationError, before any work is done, if a model cannot be written to `path`."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise ExportError(
            "an export ends in a verification with ONNX Runtime, which is not installed: `pip install onnxruntime`"
        )
    try:
        is_directory = path.is_dir()
    except OSError as error:  # a name too long
        raise ConfigurationError(f"output {path} cannot be a file ({error.strerror}): choose another name") from error
    if is_directory:
        raise ConfigurationError(f"output {path} is a directory: name a file in it, such as {path / 'model.onnx'}")
    if path.suffix != ".onnx":
        named = path.with_name(f"{Path(path.name.removesuffix('.onnx')).stem or 'model'}.onnx")
        raise ConfigurationError(f"output {path} does not end in .onnx: name it {named}")
    if not path.parent.is_dir():
        raise ConfigurationError(f"output directory {path.parent} does not exist: create it, or choose another")
    for file in (path, data_path_of(path), *report_paths(path)):
        if file.exists() and not overwrite:
            raise ConfigurationError(f"output {file} exists: choose another name, or overwrite it with --force")
    try:
        # By writing a file: permissions do not reveal read-only mounts, or root's limits in /proc.
        with temporary_folder(path.parent, path.name) as folder:
            (folder / path.name).write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        raise ConfigurationError(
            f"output directory {path.parent} is not writable ({error.strerror or error}): choose another, or free some "
            "space"
        ) from error


def _require_space(path: Path, needed_bytes: int) -> None:
    """Raise ExportError, before the long part of the work, if the file system cannot hold the model."""
    free_bytes = shutil.disk_usage(path.parent).free
    if free_bytes < needed_bytes:
        raise ExportError(
            f"{path} will have {needed_bytes / 1e6:.1f} MB, and {path.parent} has {free_bytes / 1e6:.1f} MB left: free "
            "some space, or choose another place"
        )


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Add the remedy to an error of the file system."""
    try:
        yield
    except OSError as error:
        raise ExportError(f"{path} could not be written ({error}): free some space, or choose another place") from error
