"""`metric3d fetch`: a ready-made ONNX model of onnx-community, for machines without PyTorch."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.hub.downloads import HubFile, download, part_path

PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True, kw_only=True)
class ReadyMadeModel:
    """The files of one variant: the model by precision, and for giant2 its weights beside it."""

    repository: str
    revision: str
    sha256: dict[str, str]
    """By file name. For the others the hub states it."""
    weights_beside: bool = False

    def files(self, precision: str) -> list[HubFile]:
        """Return the model's file, then the one that must lie beside it under its own name."""
        name = "model.onnx" if precision == "fp32" else f"model_{precision}.onnx"
        names = [name, f"{name}_data"] if self.weights_beside else [name]
        return [
            HubFile(
                repository=self.repository, revision=self.revision, path=f"onnx/{name}", sha256=self.sha256.get(name)
            )
            for name in names
        ]


MODELS = {
    "vit_small": ReadyMadeModel(
        repository="onnx-community/metric3d-vit-small",
        revision="672e63a9d45ee93c39a3f59cdfd0edf648187f37",
        sha256={"model_fp16.onnx": "4afcc0893dbb3c0c63e270f8bb24bfa63ccf2dc68ab9c0c3601fdae4f0aafd9b"},
    ),
    "vit_large": ReadyMadeModel(
        repository="onnx-community/metric3d-vit-large",
        revision="7d679e55ebc155d3f7c919371f0784080fb5f5bd",
        sha256={"model_fp16.onnx": "bede661725a7e1808f2cd69d07f3d2a6e5b011a1bde4128e5df9d21232224d8e"},
    ),
    "vit_giant2": ReadyMadeModel(
        repository="onnx-community/metric3d-vit-giant2",
        revision="bee0a79a684eaad2850904db5f790ad20abe921b",
        sha256={
            "model_fp16.onnx": "8ae9cb119397b42dedede351ea648d3cfcb26b6fa7d2eb537d43508c7fe4f72e",
            "model_fp16.onnx_data": "7ebc3f5e95bd919d14b2aa5c1837cbb2c31f9276a5600adf4418b2b78353f4fd",
        },
        weights_beside=True,
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    parser.add_argument("variant", help=f"the network: {', '.join(MODELS)}")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE.onnx", help="the file to write (default: VARIANT.onnx)"
    )
    parser.add_argument(
        "--precision", default="fp32", help=f"{' or '.join(PRECISIONS)}, the latter for GPUs (default: fp32)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the output file")


def run(args: argparse.Namespace) -> int:
    """Download a model and open it; return 0. Raises a Metric3DError with the remedy in one line."""
    if args.variant not in MODELS:
        raise ConfigurationError(
            f"variant is {args.variant!r}, expected one of {', '.join(MODELS)}: make others with `metric3d export`"
        )
    if args.precision not in PRECISIONS:
        raise ConfigurationError(f"precision is {args.precision!r}, expected one of {', '.join(PRECISIONS)}")
    path = fetch_model(args.variant, args.output, precision=args.precision, overwrite=args.force)
    model = open_model(path, provider="cpu")
    print(
        f"{path}: a model of {model.dialect.name}, {path.stat().st_size / 1e6:.1f} MB, "
        f"with {', '.join(sorted(model.outputs))}; use it with model:={path.resolve()}"
    )
    return 0


def fetch_model(variant: str, output: Path | None, *, precision: str, overwrite: bool) -> Path:
    """Download the model of a variant in `MODELS` to `output` and return its path; see `downloads.download`.

    Raises:
        ConfigurationError: the output cannot be written, or exists and is not to be overwritten.
        DownloadError: the download failed; what arrived is kept for the next attempt.
    """
    path = output or Path(f"{variant}.onnx" if precision == "fp32" else f"{variant}_{precision}.onnx")
    model, *beside = MODELS[variant].files(precision)
    targets = {model: path, **{file: path.with_name(file.name) for file in beside}}
    if path.suffix != ".onnx":
        raise ConfigurationError(f"output {path} does not end in .onnx: name it {path.with_suffix('.onnx')}")
    if not path.parent.is_dir():
        raise ConfigurationError(f"output directory {path.parent} does not exist: create it, or choose another")
    if not os.access(path.parent, os.W_OK):
        raise ConfigurationError(f"output directory {path.parent} is not writable: choose another")
    for target in targets.values():
        if target.is_dir():
            raise ConfigurationError(f"output {target} is a directory: name a file in it")
        if target.exists() and not overwrite:
            raise ConfigurationError(f"output {target} exists: choose another name, or overwrite it with --force")
    # Files keep temporary names until all have arrived: a second attempt keeps what the first one finished.
    arrived = {target: _arrival_path(file, target) for file, target in targets.items()}
    for file, target in targets.items():
        if not arrived[target].exists():
            download(file, arrived[target], by_hand=f"use it as {target.name}")
    # The weights first: there is never a model without them.
    for target, whole in reversed(arrived.items()):
        _give_name(whole, target)
    return path


def _give_name(whole: Path, target: Path) -> None:
    try:
        os.replace(whole, target)
    except FileNotFoundError:
        if not target.exists():  # else another process that fetches the same was faster
            raise ConfigurationError(f"{whole} was removed while {target} was fetched: run the command again") from None


def _arrival_path(file: HubFile, target: Path) -> Path:
    return part_path(file, target).with_suffix(".whole")
