"""The parameters `edges.*`: flying pixels, removed from depth before any output is made of it."""

from dataclasses import dataclass

from metric3d_ros.geometry import FlyingPixelOptions
from metric3d_ros.nodes.parameter_server.schema import parameter


@dataclass(frozen=True, kw_only=True)
class EdgesParameters:
    """The parameters `edges.*`."""

    remove: bool = parameter(
        False,
        "Removes flying pixels (points in the air between a near and a far surface) from depth, in every output: they "
        "become invalid. Judged by the slope of depth beyond what normals explain, so a grazing floor stays.",
    )
    max_tangent: float = parameter(
        1.6,
        "Tangent of the angle to the image plane that depth may show beyond what the normals explain. Smaller removes "
        "more.",
        minimum=0.1,
        maximum=100.0,
    )
    min_cluster_px: int = parameter(
        64,
        "What is left amid flying pixels in fewer connected pixels is removed too. 0 leaves it.",
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
