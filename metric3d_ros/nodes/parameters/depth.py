"""The parameters `depth.*`: which depth is valid, in every output, and how depth/image encodes it."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.ranges import FARTHEST_M, check_range
from metric3d_ros.outputs.options import INFINITE, INVALID, RANGE, Z


@dataclass(frozen=True, kw_only=True)
class DepthImageParameters:
    """The parameters `depth.*`."""

    encoding: str = parameter(
        "32FC1",
        "Encoding of depth/image and depth/image/compressedDepth: 32FC1 is metres, NaN if invalid; 16UC1 is "
        "millimetres, 0 if invalid or above 65.535 m.",
        choices=("32FC1", "16UC1"),
    )
    kind: str = parameter(
        Z,
        "What depth/image and depth/image/compressedDepth hold: z is along the optical axis and ends 90 degrees off "
        "it; range is along each pixel's ray. depth.min_m and max_m are z, or range for a lens of more than 110 "
        "degrees.",
        choices=(Z, RANGE),
    )
    min_m: float = parameter(0.0, "Minimum depth; nearer depth is invalid.", unit="m", minimum=0.0, maximum=FARTHEST_M)
    max_m: float = parameter(
        0.0,
        "Maximum depth; farther depth is invalid, or what depth.far is set to. 0 is no limit.",
        unit="m",
        minimum=0.0,
        maximum=FARTHEST_M,
    )
    far: str = parameter(
        INVALID,
        "Value of a 32FC1 depth/image beyond depth.max_m, and of sky (sky.remove): invalid is NaN; infinite is +Inf, "
        "nothing nearer (REP-117).",
        choices=(INVALID, INFINITE),
    )
    min_confidence: float = parameter(
        0.0,
        "Minimum confidence; depth with less is invalid. 0 keeps all depth. Requires a model with confidence.",
        minimum=0.0,
        maximum=1.0,
    )
    max_jump: float = parameter(
        0.0,
        "Remove flying pixels: invalidate depth that differs from a neighbouring pixel's by more than this fraction of "
        "the nearer depth. 0 is off; try 0.1.",
        minimum=0.0,
        maximum=10.0,
    )

    def __post_init__(self) -> None:
        check_range("depth.min_m", self.min_m, "depth.max_m", self.max_m)

    @property
    def max_depth_m(self) -> float:
        """The greatest valid depth, metres; infinite if there is no limit."""
        return self.max_m or float("inf")
