"""Compares an assembled file with the published operations, both in ONNX Runtime on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metric3d_ros import model_contract
from metric3d_ros.comparison.differences import Difference, Figure, Limits, compare
from metric3d_ros.comparison.patterns import sample_image
from metric3d_ros.comparison.precision_limits import EXACT_LIMITS, FLOAT16_LIMITS, SIZES_NHW
from metric3d_ros.engine import Engine, open_engine
from metric3d_ros.engine.providers import CPU
from metric3d_ros.errors import CheckpointError, ExportError

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CheckCase:
    """One batch of images, and what the published operations make of it."""

    feeds: Mapping[str, npt.NDArray[Any]]
    expected: Mapping[str, Float32Array]

    @property
    def size(self) -> str:
        n, h, w, _ = self.feeds[model_contract.IMAGE].shape
        return f"{n} x {h} x {w}"


def run_plain(path: Path) -> list[CheckCase]:
    """Run the file of the published operations on patterns of every size of `SIZES_NHW`.

    Raises CheckpointError if it computes values that are not finite.
    """
    engine = open_engine(path, provider=CPU)
    cases = []
    for seed, (n, height, width) in enumerate(SIZES_NHW):
        image = np.stack([sample_image(height, width, seed=100 * seed + i) for i in range(n)])
        feeds: dict[str, npt.NDArray[Any]] = {
            model_contract.IMAGE: image,
            model_contract.FOCAL_LENGTH: np.linspace(1000, 500, n, dtype=np.float32),
        }
        case = CheckCase(feeds, _run(engine, feeds))
        for name, values in case.expected.items():
            if not np.isfinite(values).all():
                raise CheckpointError(
                    f"with these weights the published network computes a {name} that is not finite: the checkpoint is "
                    "damaged or of a training that diverged, get the published file"
                )
        cases.append(case)
    return cases


def judge_file(path: Path, cases: Sequence[CheckCase], precision: str) -> list[Difference]:
    """Return how far each output of a file is off from what is expected, as an equal one is measured.

    Raises ExportError if one is beyond the limits of the precision.
    """
    engine = open_engine(path, provider=CPU)
    limits: Mapping[str, Limits] = EXACT_LIMITS if precision == "fp32" else FLOAT16_LIMITS.patterns
    measured, judged = [], []
    for case in cases:
        found = _run(engine, case.feeds)
        for name, expected in case.expected.items():
            measured.append(compare(name, found.get(name), expected, EXACT_LIMITS[name], case=case.size))
            judged.append(compare(name, found.get(name), expected, limits[name], case=case.size))
    bad = [(each, figure) for each in judged for figure in each.figures if not each.is_within(figure)]
    if bad:
        worst, figure = max(bad, key=lambda pair: pair[0].excess(pair[1]))
        unit = worst.unit(figure)
        raise ExportError(
            f"the assembled model in {precision} differs from the published operations: {worst.output} "
            f"{worst.name(figure)} at {worst.case} {worst.figures[figure]:.1e}{unit}, accepted "
            f"{worst.limit(figure):g}{unit}; nothing was kept: make the file with `metric3d export` on a machine with "
            "PyTorch, which rounds with more care"
        )
    return measured


def describe_largest(differences: Sequence[Difference]) -> float:
    """Return the largest relative difference of depth and confidence."""
    return max(
        each[Figure.LARGEST] for each in differences if each.output in (model_contract.DEPTH, model_contract.CONFIDENCE)
    )


def _run(engine: Engine, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, Float32Array]:
    return engine.run(feeds, list(engine.outputs))
