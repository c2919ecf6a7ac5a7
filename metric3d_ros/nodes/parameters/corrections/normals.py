"""The parameters `normals.*`: where normals come from, and the arrows that show them in RViz."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.outputs.options import FROM_DEPTH, FROM_NETWORK


@dataclass(frozen=True, kw_only=True)
class NormalsParameters:
    """The parameters `normals.*`."""

    source: str = parameter(
        FROM_NETWORK,
        "Source of normals: network uses the model's own, or depth if it has none; depth always computes them from "
        "depth. The demo model's own are closer to the truth.",
        choices=(FROM_NETWORK, FROM_DEPTH),
    )
    arrow_stride: int = parameter(
        24, "Subsampling step (stride) of normals/arrows in rows and columns.", unit="px", minimum=4, maximum=1024
    )
    arrow_length_m: float = parameter(
        0.1, "Length of an arrow of normals/arrows.", unit="m", minimum=0.001, maximum=100.0
    )
