"""Compares an exported file, run by ONNX Runtime, with the PyTorch network that it was made from."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.graph.tracing import TRACED_SIZE_HW
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.progress import Progress
from metric3d_ros.comparison.differences import Difference, Figure
from metric3d_ros.comparison.differences import compare as compare_output
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.comparison.precision_limits import EXACT_LIMITS, SIZES_NHW
from metric3d_ros.errors import ExportError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.out_of_memory import needing_memory

_SMALLER = "choose a smaller --verify-size, or use a computer with more memory"


@dataclasses.dataclass(frozen=True)
class Case:
    """One batch of images, and PyTorch's outputs for it."""

    image: np.ndarray  # (N, H, W, 3) uint8
    focal_px: np.ndarray  # (N,) float32
    expected: dict[str, np.ndarray]

    @property
    def size(self) -> str:
        n, h, w, _ = self.image.shape
        return f"{n} x {h} x {w}"


def make_cases(
    network: DepthNetwork, *, more_sizes_hw: Sequence[tuple[int, int]] = (), progress: Progress
) -> list[Case]:
    """Run the network, with PyTorch's own operations, on `SIZES_NHW` and one image of each of `more_sizes_hw`."""
    contract = ContractModel(network).eval()
    cases = []
    for seed, (n, height, width) in enumerate([*SIZES_NHW, *((1, *size) for size in more_sizes_hw)]):
        progress.stage(f"running PyTorch on {n} x {height} x {width}")
        with needing_memory(f"verifying {n} x {height} x {width}", remedy=_SMALLER):
            image = np.stack([sample_image(height, width, seed=100 * seed + i) for i in range(n)])
            focal_px = np.linspace(1000, 500, n, dtype=np.float32)
            cases.append(make_case(contract, image, focal_px))
    return cases


def make_case(contract: ContractModel, image: np.ndarray, focal_px: np.ndarray) -> Case:
    """Run a network in its contract on images (N, H, W, 3) uint8 and their focal lengths (N,) float32 in px.

    Raises ExportError if it computes values that are not finite, which no file could be compared with.
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
    """Run the file on every case and return the difference of each output."""
    model = open_model(path, provider="cpu")
    differences = []
    for case in cases:
        progress.stage(f"running ONNX Runtime on {case.size}")
        found = model.infer(case.image, case.focal_px, outputs=list(case.expected))
        differences += [measure(name, case.size, found[name], expected) for name, expected in case.expected.items()]
    return differences


def measure(output: str, case: str, found: np.ndarray, expected: np.ndarray) -> Difference:
    """Compare one output with the reference that it must equal except for rounding."""
    return compare_output(output, found, expected, EXACT_LIMITS[output], case=case)


def describe_difference(difference: Difference) -> str:
    """Return the largest and the mean difference of one output in one line."""
    unit = difference.measure.unit
    largest, mean = (f"{difference[figure]:.1e}{unit}" for figure in (Figure.LARGEST, Figure.MEAN))
    return f"{difference.output:17s} {difference.case:>14s}  max {largest}, mean {mean}"


def require_acceptable(
    differences: Sequence[Difference], *, what: str = "the exported model differs from PyTorch"
) -> None:
    """Raise ExportError that starts with `what` and names the worst output if one is beyond the limits."""
    bad = [difference for difference in differences if not difference.acceptable]
    if bad:
        worst = max(bad, key=lambda difference: difference[Figure.MOST])
        unit = worst.measure.unit
        raise ExportError(
            f"{what}: {worst.output} at {worst.case} by {worst[Figure.MOST]:.1e}{unit} "
            f"(largest {worst[Figure.LARGEST]:.1e}), accepted {worst.limit(Figure.MOST):g}{unit} "
            f"(largest {worst.limit(Figure.LARGEST):g}), and {len(bad) - 1} more; nothing was written: report it with "
            "the versions of torch, onnx and onnxruntime"
        )


assert all((height, width) != TRACED_SIZE_HW for _, height, width in SIZES_NHW)
