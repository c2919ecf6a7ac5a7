"""The parameters `sky.*`: pixels that are too far to be points."""

from dataclasses import dataclass

from metric3d_ros.geometry import FarOptions
from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.ranges import FARTHEST_M, check_range


@dataclass(frozen=True, kw_only=True)
class SkyParameters:
    """The parameters `sky.*`."""

    remove: bool = parameter(
        False,
        "Treat sky, and depth beyond sky.ceiling_m, as far: no points, and in depth/image the value of depth.far. Sky "
        "is a region of far pixels with low confidence that reaches the top of the upright image.",
    )
    ceiling_m: float = parameter(
        150.0, "Depth from here on is far, anywhere in the image.", unit="m", minimum=1.0, maximum=FARTHEST_M
    )
    from_m: float = parameter(20.0, "Minimum depth of sky.", unit="m", minimum=1.0, maximum=FARTHEST_M)
    max_confidence: float = parameter(
        0.6, "Maximum confidence of sky, if the model has confidence.", minimum=0.0, maximum=1.0
    )

    def __post_init__(self) -> None:
        check_range("sky.from_m", self.from_m, "sky.ceiling_m", self.ceiling_m)

    @property
    def options(self) -> FarOptions | None:
        """How sky is found; None if it stays."""
        if not self.remove:
            return None
        return FarOptions(ceiling_m=self.ceiling_m, sky_from_m=self.from_m, max_confidence=self.max_confidence)
