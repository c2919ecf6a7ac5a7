"""`metric3d info`: what a model file is, where its weights come from, and how far it can be trusted."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from metric3d_ros.assembly.assembler import ASSEMBLED
from metric3d_ros.engine import DEMO_MODEL
from metric3d_ros.estimation.depth_model import DepthModel, open_model
from metric3d_ros.model_contract import METADATA_PREFIX, Metadata


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `run`."""
    parser.add_argument(
        "model", metavar="FILE", help=f"an ONNX file, a published name, or '{DEMO_MODEL}' for the model of the package"
    )


def run(args: argparse.Namespace) -> int:
    """Print what the file is; return 0.

    Raises:
        ModelError: it is no depth model; the message names its tensors.
        ProviderError: ONNX Runtime is not installed.
    """
    model = open_model(args.model, provider="cpu")
    path = model.path
    for name, value in describe_model(model, path):
        print(f"{name:14s} {value}")
    return 0


def describe_model(model: DepthModel, path: Path) -> Iterator[tuple[str, str]]:
    """Yield names and values of the properties of a loaded model and its file, for people."""
    data = path.with_name(path.name + ".data")
    file_bytes = sum(file.stat().st_size for file in (path, data) if file.exists())
    beside = f", with the weights in {data.name}" if data.exists() else ""
    yield "file", f"{path} ({file_bytes / 1e6:.1f} MB{beside})"
    if model.metadata is not None:
        yield from _describe_own(model.metadata, model.properties.get(METADATA_PREFIX + ASSEMBLED))
        known = model.metadata.to_properties().keys()
        for key, value in model.properties.items():
            if key.startswith(METADATA_PREFIX) and key not in known | {METADATA_PREFIX + ASSEMBLED}:
                yield key.removeprefix(METADATA_PREFIX).replace("_", " "), value
    else:
        yield from _describe_published(model)
    yield "outputs", ", ".join(sorted(model.outputs))
    page = path.with_name(path.name + ".html")
    if page.exists():
        yield "report", str(page)


def _describe_own(metadata: Metadata, assembled: str | None) -> Iterator[tuple[str, str]]:
    height, width = metadata.training_size_hw
    near, far = metadata.depth_range_m
    reference = "the published operations" if assembled else "PyTorch"
    yield "kind", f"assembled {assembled}" if assembled else f"made by `metric3d export` {metadata.exporter_version}"
    yield "variant", metadata.variant
    yield "precision", metadata.precision
    if metadata.meaningless:
        yield "weights", "STAND-INS: depth from this model is meaningless"
    else:
        yield "weights", f"{metadata.weights_file}, SHA-256 {metadata.weights_sha256}"
    yield "difference", f"at most {metadata.max_difference:.1e} from {reference}, relative, in depth and confidence"
    yield "depth range", f"{near:g} to {far:g} m, for a focal length of {metadata.canonical_focal_px:g} px"
    yield "image size", f"any, padded to multiples of {metadata.size_multiple}; trained at {width} x {height}"
    yield "operator set", f"{metadata.opset}, format version {metadata.format_version}"


def _describe_published(model: DepthModel) -> Iterator[tuple[str, str]]:
    yield "kind", f"a foreign model, in the form of {model.dialect.name}; runs here, but does not name its weights"
    if model.fixed_size_hw is None:
        yield "image size", f"any, padded to multiples of {model.dialect.size_multiple} before the model"
    else:
        height, width = model.fixed_size_hw
        yield "image size", f"{width} x {height} only; other images are resized and padded before the model"
    yield "depth", "of the canonical camera; scaled to metres by the focal length after the model"
