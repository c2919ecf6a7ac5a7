"""The parameters `color.*`: how depth/image_color maps depth to colours."""

from dataclasses import dataclass

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.ranges import FARTHEST_M, check_range
from metric3d_ros.pictures import COLOUR_MAPS

_LEAST_RANGE_M = 0.001


@dataclass(frozen=True, kw_only=True)
class ColorParameters:
    """The parameters `color.*`."""

    map: str = parameter("turbo", "Colour map of depth/image_color, from near to far.", choices=COLOUR_MAPS)
    scale: str = parameter(
        "linear",
        "Colour scale of depth. With log, equal ratios of depth are equal steps of colour: more near detail.",
        choices=("linear", "log"),
    )
    near_m: float = parameter(
        0.0,
        "Depth with the nearest colour; ignored if color.far_m is 0.",
        unit="m",
        minimum=0.0,
        maximum=FARTHEST_M,
    )
    far_m: float = parameter(
        0.0,
        "Depth with the farthest colour. 0 fits the range to the images and changes it smoothly.",
        unit="m",
        minimum=0.0,
        maximum=FARTHEST_M,
    )

    def __post_init__(self) -> None:
        check_range("color.near_m", self.near_m, "color.far_m", self.far_m)
        if self.far_m and self.far_m - self.near_m < _LEAST_RANGE_M:
            raise ConfigurationError(
                f"parameter color.far_m is {self.far_m:g} m, expected at least {_LEAST_RANGE_M:g} m beyond "
                f"color.near_m, {self.near_m:g} m"
            )
        if self.scale == "log" and self.far_m and not self.near_m:
            raise ConfigurationError("parameter color.near_m is 0, expected above 0 m with color.scale log")
