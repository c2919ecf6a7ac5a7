"""Compares an exported file, run by ONNX Runtime, with the PyTorch network it was made from."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from metric3d_export.graph.tracing import TRACED_SIZE_HW, ContractModel
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.progress import Progress
from metric3d_ros import model_contract
from metric3d_ros.errors import ConfigurationError, ExportError
from metric3d_ros.estimation.depth_model import open_model

SIZES_NHW = ((1, 168, 280), (2, 84, 252), (1, 231, 157), (3, 61, 30))
"""Batches and image sizes of every verification: none was traced, and the last two are no multiple of 28 or 32."""

MIN_SIDE_PX = 28

MOST_PIXELS = 0.999


@dataclasses.dataclass(frozen=True)
class Limit:
    """What is accepted of one output: `most` for 99.9 % of its pixels, `all` for every one.

    Two limits, since rounding alone moves single pixels far: the golden files, float32 themselves, are off by 2e-4
    in single pixels from what the same network gives in float64.
    """

    most: float
    all: float
    unit: str


LIMITS = {
    model_contract.DEPTH: Limit(1e-3, 1e-2, ""),
    model_contract.CONFIDENCE: Limit(1e-3, 1e-2, ""),
    model_contract.NORMAL: Limit(0.1, 1.0, " deg"),
    model_contract.NORMAL_CONFIDENCE: Limit(1e-3, 1e-2, ""),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One batch of images, and what PyTorch makes of it."""

    image: np.ndarray  # (N, H, W, 3) uint8
    focal_px: np.ndarray  # (N,) float32
    expected: dict[str, np.ndarray]

    @property
    def size(self) -> str:
        n, h, w, _ = self.image.shape
        return f"{n} x {h} x {w}"


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far one output is off for one batch: |a - b| / max(|b|, 1), or degrees for normals."""

    output: str
    size: str
    largest: float
    of_most: float
    """The largest but for the worst 0.1 % of the pixels."""
    mean: float

    @property
    def acceptable(self) -> bool:
        limit = LIMITS[self.output]
        # Written so that NaN is not acceptable.
        return self.of_most <= limit.most and self.largest <= limit.all

    def __str__(self) -> str:
        unit = LIMITS[self.output].unit
        return f"{self.output:17s} {self.size:>14s}  max {self.largest:.1e}{unit}, mean {self.mean:.1e}{unit}"


def parse_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH; raises ConfigurationError when it is none, or a side is below 28."""
    try:
        height, width = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise ConfigurationError(f"size {text!r} is not HEIGHTxWIDTH: write for instance 616x1064") from None
    if min(height, width) < MIN_SIDE_PX:
        raise ConfigurationError(f"size {text} is too small: both sides must be at least {MIN_SIDE_PX}")
    return height, width


def sample_image(height: int, width: int, *, seed: int) -> np.ndarray:
    """Return a colourful image (H, W, 3) uint8 with gradients, edges and noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    phase = random.uniform(0, 2 * np.pi, 3)
    frequency = random.uniform(1, 4, (3, 2))
    image = np.stack([np.sin(2 * np.pi * (fy * y + fx * x) + p) for (fy, fx), p in zip(frequency, phase, strict=True)])
    image = 127.5 + 80 * image + 40 * (y > x) + 10 * random.standard_normal(image.shape)
    return image.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def make_cases(
    network: DepthNetwork, *, more_sizes_hw: Sequence[tuple[int, int]] = (), progress: Progress
) -> list[Case]:
    """Run the network, with PyTorch's own operations, on `SIZES_NHW` and one image of each of `more_sizes_hw`."""
    contract = ContractModel(network).eval()
    cases = []
    for seed, (n, height, width) in enumerate([*SIZES_NHW, *((1, *size) for size in more_sizes_hw)]):
        progress.stage(f"running PyTorch on {n} x {height} x {width}")
        image = np.stack([sample_image(height, width, seed=100 * seed + i) for i in range(n)])
        focal_px = np.linspace(1000, 500, n, dtype=np.float32)
        cases.append(make_case(contract, image, focal_px))
    return cases


def make_case(contract: ContractModel, image: np.ndarray, focal_px: np.ndarray) -> Case:
    """Run a network in its contract on images (N, H, W, 3) uint8 and their focal lengths (N,) float32 in px.

    Raises ExportError where it computes values that are not finite, which no file could be compared with.
    """
    with torch.inference_mode():
        outputs = contract(torch.from_numpy(image), torch.from_numpy(focal_px))
    expected = {name: output.numpy() for name, output in zip(contract.output_names, outputs, strict=True)}
    for name, values in expected.items():
        if not np.isfinite(values).all():
            raise ExportError(
                f"with these weights PyTorch itself computes a {name} that is not finite: check the checkpoint, it is "
                "damaged or of a training that diverged"
            )
    return Case(image, focal_px, expected)


def compare(path: Path, cases: Iterable[Case], *, progress: Progress) -> list[Difference]:
    """Run the file on every case and return how far each output is off."""
    engine = open_model(path, provider="cpu")
    differences = []
    for case in cases:
        progress.stage(f"running ONNX Runtime on {case.size}")
        found = engine.infer(case.image, case.focal_px, outputs=list(case.expected))
        differences += [measure(name, case.size, found[name], expected) for name, expected in case.expected.items()]
    return differences


def measure(output: str, size: str, found: np.ndarray, expected: np.ndarray) -> Difference:
    """Compare one output; a NaN, an infinity, or a shape that differs makes every figure NaN or infinite."""
    if found.shape != expected.shape:
        return Difference(output, size, float("inf"), float("inf"), float("inf"))
    if output == model_contract.NORMAL:
        # By the chord: arccos of a dot product has no digits left at small angles.
        chord = np.linalg.norm(found.astype(np.float64) - expected, axis=-1)
        error = np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1)))
    else:
        error = np.abs(found.astype(np.float64) - expected) / np.maximum(np.abs(expected), 1)
    return Difference(output, size, float(error.max()), float(np.quantile(error, MOST_PIXELS)), float(error.mean()))


def require_acceptable(
    differences: Sequence[Difference], *, what: str = "the exported model differs from PyTorch"
) -> None:
    """Raise ExportError that starts with `what` and names the worst output where one is beyond the limits."""
    bad = [difference for difference in differences if not difference.acceptable]
    if bad:
        worst = max(bad, key=lambda d: (d.of_most != d.of_most, d.of_most))
        limit = LIMITS[worst.output]
        unit = limit.unit
        raise ExportError(
            f"{what}: {worst.output} at {worst.size} by {worst.of_most:.1e}{unit} "
            f"(largest {worst.largest:.1e}), accepted {limit.most:g}{unit} (largest {limit.all:g}), and "
            f"{len(bad) - 1} more; nothing was written: report it with the versions of torch, onnx and onnxruntime"
        )


assert all((height, width) != TRACED_SIZE_HW for _, height, width in SIZES_NHW)
