"""The parameters `obstacles.*`: what stands on the ground, for points/obstacles and the scan."""

from dataclasses import dataclass

from metric3d_ros.geometry import ObstacleOptions
from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.ranges import check_range


@dataclass(frozen=True, kw_only=True)
class ObstaclesParameters:
    """The parameters `obstacles.*`."""

    min_height_m: float = parameter(
        0.1,
        "Minimum height of obstacles; lower is ground. It grows by 1 % of the distance.",
        unit="m",
        minimum=0.001,
        maximum=100.0,
    )
    max_height_m: float = parameter(
        2.0,
        "Maximum height of obstacles: the robot's height and some clearance.",
        unit="m",
        minimum=0.01,
        maximum=100.0,
    )
    max_range_m: float = parameter(
        10.0, "Maximum distance of obstacles along the ground.", unit="m", minimum=0.1, maximum=1000.0
    )
    stride: int = parameter(
        2, "Subsampling step (stride) of points/obstacles in rows and columns.", unit="px", minimum=1, maximum=64
    )

    def __post_init__(self) -> None:
        check_range("obstacles.min_height_m", self.min_height_m, "obstacles.max_height_m", self.max_height_m)

    @property
    def options(self) -> ObstacleOptions:
        """What counts as an obstacle."""
        return ObstacleOptions(
            min_height_m=self.min_height_m, max_height_m=self.max_height_m, max_range_m=self.max_range_m
        )
