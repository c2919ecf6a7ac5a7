"""The parameters `edges.*`: flying pixels, removed from depth before any output is made of it."""

from dataclasses import dataclass

from metric3d_ros.geometry import FlyingPixelOptions
from metric3d_ros.nodes.parameter_server.schema import parameter


@dataclass(frozen=True, kw_only=True)
class EdgesParameters:
    """The parameters `edges.*`."""

    remove: bool = parameter(
        False,
        "Remove flying pixels (points in the air between a near and a far surface): they become invalid in every "
        "output. Found by slopes of depth that the normals do not explain, so a floor at a grazing angle stays.",
    )
    max_tangent: float = parameter(
        1.6,
        "Maximum slope of depth beyond what the normals explain, as the tangent of its angle to the image plane. "
        "Smaller removes more.",
        minimum=0.1,
        maximum=100.0,
    )
    min_cluster_px: int = parameter(
        64,
        "Minimum size of a region that is left among flying pixels; a smaller one is removed too. 0 keeps all.",
        unit="px",
        minimum=0,
        maximum=1_000_000,
    )

    @property
    def options(self) -> FlyingPixelOptions | None:
        """How flying pixels are found; None if they stay."""
        if not self.remove:
            return None
        return FlyingPixelOptions(max_tangent=self.max_tangent, min_cluster_px=self.min_cluster_px)
