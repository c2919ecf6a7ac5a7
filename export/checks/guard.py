"""Compares a model of reduced precision with the float32 network, on rendered rooms and on patterns."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metric3d_export.checks.verify import Case, Difference, make_case, measure
from metric3d_export.graph.tracing import ContractModel
from metric3d_export.network.variants import DepthNetwork
from metric3d_export.precision.half_simulation import simulate_half
from metric3d_export.progress import Progress
from metric3d_ros import model_contract
from metric3d_ros.errors import ExportError
from metric3d_ros.estimation.depth_model import open_model
from metric3d_ros.world.held_out import HeldOutScenes

DEGRADED = "degraded"
"""Metadata key, after the prefix, of what a model kept by `allow_degraded` departs in."""

ROOM_SIZES_HW = ((252, 336), (196, 364), (308, 231))
"""Sizes of the rendered rooms that every reduced model is tried on: landscape, wide, and upright and padded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a reduced model may be off by in one batch."""

    depth_median: float
    """Median of |depth / depth32 - 1|."""
    depth_most: float
    """99th percentile of the same."""
    scale_drift: float
    """|median(depth) / median(depth32) - 1|."""
    normal_mean_deg: float
    confidence_median: float
    """Median of |a - b| / max(|b|, 1), of both confidences."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """What a reduced model may be off by, by what it is tried on."""

    rooms: Limits
    patterns: Limits
    """Looser: patterns show nothing that has a scale, and depth jumps in them where the slightest rounding tips it."""
    rounded_rooms: Limits | None = None
    """With every float16 result rounded, which no device does to such a degree; None for other models."""


_FLOAT16 = Limits(depth_median=2e-3, depth_most=2e-2, scale_drift=1e-3, normal_mean_deg=0.5, confidence_median=5e-3)
_FLOAT16_ON_PATTERNS = dataclasses.replace(_FLOAT16, depth_most=4e-2, scale_drift=4e-3)
_FLOAT16_ROUNDED = Limits(
    depth_median=4e-3, depth_most=6e-2, scale_drift=5e-3, normal_mean_deg=1.0, confidence_median=1e-2
)
_INT8 = Limits(depth_median=5e-2, depth_most=3e-1, scale_drift=3e-2, normal_mean_deg=5.0, confidence_median=1e-1)

HALF_WEIGHTS_LIMITS = GuardLimits(rooms=_FLOAT16, patterns=_FLOAT16_ON_PATTERNS)
FLOAT16_LIMITS = GuardLimits(rooms=_FLOAT16, patterns=_FLOAT16_ON_PATTERNS, rounded_rooms=_FLOAT16_ROUNDED)
INT8_LIMITS = GuardLimits(rooms=_INT8, patterns=dataclasses.replace(_INT8, depth_most=5e-1, scale_drift=5e-2))


@dataclasses.dataclass(frozen=True)
class Departure:
    """One figure of one output for one batch, and its limit."""

    output: str
    case: str
    figure: str
    value: float
    limit: float
    unit: str = ""

    @property
    def acceptable(self) -> bool:
        return self.value <= self.limit  # which NaN is not

    def __str__(self) -> str:
        value, limit = f"{self.value:.2g}{self.unit}", f"{self.limit:g}{self.unit}"
        return f"{self.output} {self.figure} on {self.case}: {value} (limit {limit})"


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
) -> tuple[list[Difference], list[Departure]]:
    """Run a reduced model on every case; return how far it is off, as a verification measures it and as the guard."""
    differences: list[Difference] = []
    departures: list[Departure] = []

    def run_on(model: Path, kind: str, cases: Sequence[Case], case_limits: Limits) -> None:
        engine = open_model(model, provider="cpu")
        for case in cases:
            name = f"{kind} {case.size}"
            progress.stage(f"running the reduced model on {name}")
            found = engine.infer(case.image, case.focal_px, outputs=list(case.expected))
            if model == path:
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
    case: str,
    found: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    limits: Limits,
) -> list[Departure]:
    """Compare every output of one batch; where one is not finite, or depth not positive, its figure is infinite."""
    departures = []
    for output, reference in expected.items():
        values = found[output].astype(np.float64)
        usable = values.shape == reference.shape and bool(np.isfinite(values).all())
        if output == model_contract.DEPTH:
            usable = usable and bool((values > 0).all())
        if not usable:
            departures.append(Departure(output, case, "values that are not finite, or not positive", np.inf, 0.0))
        elif output == model_contract.DEPTH:
            error = np.abs(values / reference - 1)
            departures.append(Departure(output, case, "median", float(np.median(error)), limits.depth_median))
            departures.append(Departure(output, case, "99 %", float(np.quantile(error, 0.99)), limits.depth_most))
            drift = abs(float(np.median(values) / np.median(reference)) - 1)
            departures.append(Departure(output, case, "scale drift", drift, limits.scale_drift))
        elif output == model_contract.NORMAL:
            angle_deg = _mean_angle_deg(values, reference)
            departures.append(Departure(output, case, "mean angle", angle_deg, limits.normal_mean_deg, " deg"))
        else:
            error = np.abs(values - reference) / np.maximum(np.abs(reference), 1)
            departures.append(Departure(output, case, "median", float(np.median(error)), limits.confidence_median))
    return departures


def _mean_angle_deg(values: np.ndarray, reference: np.ndarray) -> float:
    chord = np.linalg.norm(values - reference, axis=-1)
    return float(np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))).mean())


def describe_departures(departures: Sequence[Departure]) -> str:
    """Return one line that names what is beyond its limit, worst first; empty where nothing is."""
    bad = [departure for departure in departures if not departure.acceptable]
    if not bad:
        return ""
    worst = max(bad, key=lambda d: d.value / d.limit if d.limit else np.inf)
    return f"{worst}" + (f", and {len(bad) - 1} more" if len(bad) > 1 else "")


def require_faithful(departures: Sequence[Departure], *, precision: str) -> None:
    """Raise ExportError that names the outputs beyond their limits."""
    text = describe_departures(departures)
    if text:
        raise ExportError(
            f"precision {precision} departs from float32 too far: {text}; nothing was written: choose another "
            "precision, or keep the model all the same with --allow-degraded"
        )
