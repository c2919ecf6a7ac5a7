"""The parameters `points.*`: the point cloud. Depth that is invalid in the depth image is not in the cloud either."""

from dataclasses import dataclass

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.ranges import FARTHEST_M

XYZ, XYZRGB, XYZRGB_NORMALS = "xyz", "xyzrgb", "xyzrgb+normals"
_AND_CONFIDENCE = "+confidence"

_LEAST_VOXEL_M = 0.001


@dataclass(frozen=True, kw_only=True)
class PointsParameters:
    """The parameters `points.*`."""

    stride: int = parameter(
        1,
        "Subsampling step (stride) in rows and columns; 2 publishes a quarter of the points.",
        unit="px",
        minimum=1,
        maximum=64,
    )
    fields: str = parameter(
        XYZRGB_NORMALS,
        "Fields of each point: xyz is 12 bytes, xyzrgb 16, xyzrgb+normals 28; with +confidence 4 more (float32, 0 to "
        "1), also of points/obstacles. It requires a model with confidence.",
        choices=tuple(fields + more for more in ("", _AND_CONFIDENCE) for fields in (XYZ, XYZRGB, XYZRGB_NORMALS)),
    )
    organized: bool = parameter(
        True,
        "Publish an organised cloud: the image's rows and columns, NaN if invalid. false leaves invalid points out.",
    )
    max_m: float = parameter(
        0.0,
        "Maximum distance of points along the optical axis, in addition to depth.max_m. 0 is no limit.",
        unit="m",
        minimum=0.0,
        maximum=FARTHEST_M,
    )
    min_confidence: float = parameter(
        0.0,
        "Minimum confidence of points, in addition to depth.min_confidence. 0 keeps all points.",
        minimum=0.0,
        maximum=1.0,
    )
    max_jump: float = parameter(
        0.0,
        "Remove flying pixels as depth.max_jump does, but from the cloud only. 0 is off.",
        minimum=0.0,
        maximum=10.0,
    )
    voxel_m: float = parameter(
        0.0,
        "Voxel size: the points in each cube of this side become one, their mean. The cloud is then not organised. "
        "0 is off.",
        unit="m",
        minimum=0.0,
        maximum=100.0,
    )

    def __post_init__(self) -> None:
        if 0 < self.voxel_m < _LEAST_VOXEL_M:
            raise ConfigurationError(
                f"parameter points.voxel_m is {self.voxel_m:g} m, expected 0 (off) or at least {_LEAST_VOXEL_M:g} m"
            )

    @property
    def with_colour(self) -> bool:
        """Whether points have `rgb`."""
        return self.fields.startswith(XYZRGB)

    @property
    def with_normals(self) -> bool:
        """Whether points have normals."""
        return self.fields.startswith(XYZRGB_NORMALS)

    @property
    def with_confidence(self) -> bool:
        """Whether points have `confidence`."""
        return self.fields.endswith(_AND_CONFIDENCE)
