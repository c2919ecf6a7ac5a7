"""Compares a model of reduced precision with the float32 network, on rendered rooms and on patterns."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metric3d_export.checks.verify import Case, make_case, measure
from metric3d_export.graph.contract_model import ContractModel
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.precision.float16_simulation import simulate_half
from metric3d_export.progress import Progress
from metric3d_ros.comparison.differences import Difference, Figure, Limits, compare
from metric3d_ros.comparison.precision_limits import GuardLimits
from metric3d_ros.errors import ExportError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.world.held_out import HeldOutScenes

DEGRADED = "degraded"
"""Metadata key, after the prefix, of the limits that a model kept by `allow_degraded` exceeds."""

ROOM_SIZES_HW = ((252, 336), (196, 364), (308, 231))
"""Sizes of the rendered rooms that every reduced model is tried on: landscape, wide, and upright and padded."""


def make_rooms(network: DepthNetwork, *, progress: Progress) -> list[Case]:
    """Run the network on one rendered room of each of `ROOM_SIZES_HW`."""
    contract = ContractModel(network).eval()
    cases = []
    for size_hw in ROOM_SIZES_HW:
        progress.stage(f"running PyTorch on a rendered room of {size_hw[0]} x {size_hw[1]}")
        (sample,) = HeldOutScenes(1, size_hw)
        cases.append(make_case(contract, sample.rgb[None], np.array([sample.camera.focal_px], np.float32)))
    return cases


def judge(
    path: Path, limits: GuardLimits, *, rooms: Sequence[Case], patterns: Sequence[Case], progress: Progress
) -> tuple[list[Difference], list[Difference]]:
    """Run a reduced model on every case; return its differences, as a verification measures them and as the guard."""
    differences: list[Difference] = []
    departures: list[Difference] = []

    def run_on(file: Path, kind: str, cases: Sequence[Case], case_limits: Mapping[str, Limits]) -> None:
        model = open_model(file, provider="cpu")
        for case in cases:
            name = f"{kind} {case.size}"
            progress.stage(f"running the reduced model on {name}")
            found = model.infer(case.image, case.focal_px, outputs=list(case.expected))
            if file == path:
                differences.extend(measure(output, case.size, found[output], case.expected[output]) for output in found)
            departures.extend(measure_departures(name, found, case.expected, case_limits))

    run_on(path, "room", rooms, limits.rooms)
    if patterns:
        run_on(path, "pattern", patterns, limits.patterns)
    if limits.rounded_rooms is not None:
        simulated = path.with_name(f"rounded.{path.name}")
        simulate_half(path, simulated)
        run_on(simulated, "rounded room", rooms, limits.rounded_rooms)
        simulated.unlink()
    return differences, departures


def measure_departures(
    case: str, found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], limits: Mapping[str, Limits]
) -> list[Difference]:
    """Compare every output of one batch as the guard does."""
    return [compare(output, found[output], array, limits[output], case=case) for output, array in expected.items()]


def describe_figure(departure: Difference, figure: Figure) -> str:
    """Return one figure and its limit in one line."""
    unit = departure.unit(figure)
    value, limit = f"{departure.figures[figure]:.2g}{unit}", f"{departure.limit(figure):g}{unit}"
    return f"{departure.output} {departure.name(figure)} on {departure.case}: {value} (limit {limit})"


def describe_departures(departures: Sequence[Difference]) -> str:
    """Return one line that names the figures beyond their limits, the worst in full; empty if there are none."""
    bad = [(departure, figure) for departure in departures for figure in departure.figures]
    bad = [(departure, figure) for departure, figure in bad if not departure.is_within(figure)]
    if not bad:
        return ""
    departure, figure = max(bad, key=lambda each: each[0].excess(each[1]))
    return describe_figure(departure, figure) + (f", and {len(bad) - 1} more" if len(bad) > 1 else "")


def require_faithful(departures: Sequence[Difference], *, precision: str) -> None:
    """Raise ExportError that names the outputs beyond their limits."""
    text = describe_departures(departures)
    if text:
        raise ExportError(
            f"precision {precision} deviates too far from float32: {text}; nothing was written: choose another "
            "precision, or keep the model all the same with --allow-degraded"
        )
