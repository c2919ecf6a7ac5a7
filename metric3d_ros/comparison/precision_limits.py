"""What a model file may be off by from the network that it was made from, in float32 and in less."""

import dataclasses
from collections.abc import Mapping

from metric3d_ros import model_contract
from metric3d_ros.comparison.differences import Figure, Limits, Measure, equality_limits

SIZES_NHW = ((1, 168, 280), (2, 84, 252), (1, 231, 157), (3, 61, 30))
"""Batches and image sizes of every comparison: none was traced, and the last two are no multiple of 28 or 32."""

TOLERANCE = 1e-3

EXACT_LIMITS = {
    model_contract.DEPTH: equality_limits(TOLERANCE),
    model_contract.CONFIDENCE: equality_limits(TOLERANCE),
    model_contract.NORMAL: equality_limits(TOLERANCE, Measure.ANGLE),
    model_contract.NORMAL_CONFIDENCE: equality_limits(TOLERANCE),
}
"""What is accepted of each output of a file in float32."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """What a reduced model may be off by in one batch, for each output, by what it is tried on."""

    rooms: Mapping[str, Limits]
    patterns: Mapping[str, Limits]
    """Looser: patterns show nothing that has a scale, and depth jumps in them where the slightest rounding tips it."""
    rounded_rooms: Mapping[str, Limits] | None = None
    """With every float16 result rounded, which no device does to such a degree; None for other models."""


def _limits(
    *, depth_median: float, depth_most: float, scale_drift: float, normal_mean_deg: float, confidence_median: float
) -> dict[str, Limits]:
    depth = {Figure.MEDIAN: depth_median, Figure.NEARLY_MOST: depth_most, Figure.SCALE_DRIFT: scale_drift}
    confidence = Limits(measure=Measure.ABSOLUTE_BELOW_ONE, most={Figure.MEDIAN: confidence_median})
    return {
        model_contract.DEPTH: Limits(measure=Measure.RATIO, most=depth),
        model_contract.CONFIDENCE: confidence,
        model_contract.NORMAL: Limits(measure=Measure.ANGLE, most={Figure.MEAN: normal_mean_deg}),
        model_contract.NORMAL_CONFIDENCE: confidence,
    }


_FLOAT16 = {"depth_median": 2e-3, "normal_mean_deg": 0.5, "confidence_median": 5e-3}
_INT8 = {"depth_median": 5e-2, "normal_mean_deg": 5.0, "confidence_median": 1e-1}

HALF_WEIGHTS_LIMITS = GuardLimits(
    rooms=_limits(**_FLOAT16, depth_most=2e-2, scale_drift=1e-3),
    patterns=_limits(**_FLOAT16, depth_most=4e-2, scale_drift=4e-3),
)
FLOAT16_LIMITS = dataclasses.replace(
    HALF_WEIGHTS_LIMITS,
    rounded_rooms=_limits(
        depth_median=4e-3, depth_most=6e-2, scale_drift=5e-3, normal_mean_deg=1.0, confidence_median=1e-2
    ),
)
INT8_LIMITS = GuardLimits(
    rooms=_limits(**_INT8, depth_most=3e-1, scale_drift=3e-2),
    patterns=_limits(**_INT8, depth_most=5e-1, scale_drift=5e-2),
)
