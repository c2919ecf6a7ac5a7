"""The parameters of depth_node's outputs: a group for each kind, and one switch for each topic."""

from dataclasses import dataclass

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.outlet.scan_frame import check_scan_frame
from metric3d_ros.nodes.parameters.schema import parameter
from metric3d_ros.pictures import COLOUR_MAPS

INVALID, INFINITE = "invalid", "infinite"
XYZ, XYZRGB, XYZRGB_NORMALS = "xyz", "xyzrgb", "xyzrgb+normals"

_FARTHEST_M = 10_000.0
_LEAST_COLOR_RANGE_M = 0.001


@dataclass(frozen=True, kw_only=True)
class SwitchParameters:
    """Which topics are advertised; one that is advertised still costs nothing while nobody has subscribed to it."""

    depth: bool = parameter(True, "Advertise depth/image and depth/camera_info.", read_only=True)
    depth_color: bool = parameter(True, "Advertise depth/image_color.", read_only=True)
    compressed_depth: bool = parameter(True, "Advertise depth/image/compressedDepth.", read_only=True)
    normals: bool = parameter(True, "Advertise normals/image.", read_only=True)
    normals_color: bool = parameter(True, "Advertise normals/image_color.", read_only=True)
    confidence: bool = parameter(True, "Advertise confidence/image.", read_only=True)
    points: bool = parameter(True, "Advertise points.", read_only=True)
    scan: bool = parameter(False, "Advertise scan; needs scan.frame_id.", read_only=True)


@dataclass(frozen=True, kw_only=True)
class DepthImageParameters:
    """Which depth is trusted, in everything that is made of depth, and how depth/image says it."""

    encoding: str = parameter(
        "32FC1",
        "Encoding of depth/image and depth/image/compressedDepth: 32FC1 is metres, NaN where invalid; 16UC1 is "
        "millimetres, 0 where invalid and above 65.535 m.",
        choices=("32FC1", "16UC1"),
    )
    min_m: float = parameter(0.0, "Nearer depth is invalid.", unit="m", minimum=0.0, maximum=_FARTHEST_M)
    max_m: float = parameter(
        0.0, "Farther depth is invalid, or far; 0 is no limit.", unit="m", minimum=0.0, maximum=_FARTHEST_M
    )
    far: str = parameter(
        INVALID,
        "What depth/image as 32FC1 holds beyond depth.max_m: invalid is NaN, infinite is +Inf: nothing is nearer.",
        choices=(INVALID, INFINITE),
    )
    min_confidence: float = parameter(
        0.0,
        "Depth of less confidence is invalid; 0 trusts all. Needs a model that gives confidence.",
        minimum=0.0,
        maximum=1.0,
    )
    max_jump: float = parameter(
        0.0,
        "Depth is invalid on edges, where it jumps to a neighbouring pixel by more than this part of the nearer depth; "
        "0 keeps edges, 0.1 removes the points that fly between near and far things.",
        minimum=0.0,
        maximum=10.0,
    )

    def __post_init__(self) -> None:
        _check_range("depth.min_m", self.min_m, "depth.max_m", self.max_m)

    @property
    def max_depth_m(self) -> float:
        """The greatest depth that is valid, metres; infinite where there is no limit."""
        return self.max_m or float("inf")


@dataclass(frozen=True, kw_only=True)
class ColorParameters:
    """How depth/image_color is painted."""

    map: str = parameter("turbo", "Colours of depth/image_color, near to far.", choices=COLOUR_MAPS)
    scale: str = parameter(
        "linear",
        "log shows more of what is near: equal ratios of depth are equal steps of colour.",
        choices=("linear", "log"),
    )
    near_m: float = parameter(0.0, "Depth with the nearest colour.", unit="m", minimum=0.0, maximum=_FARTHEST_M)
    far_m: float = parameter(
        0.0,
        "Depth with the farthest colour; 0 fits the range to the images, smoothly from one to the next, and "
        "color.near_m is not used.",
        unit="m",
        minimum=0.0,
        maximum=_FARTHEST_M,
    )

    def __post_init__(self) -> None:
        _check_range("color.near_m", self.near_m, "color.far_m", self.far_m)
        if self.far_m and self.far_m - self.near_m < _LEAST_COLOR_RANGE_M:
            raise ConfigurationError(
                f"parameter color.far_m is {self.far_m:g} m, expected at least {_LEAST_COLOR_RANGE_M:g} m beyond "
                f"color.near_m, {self.near_m:g} m"
            )
        if self.scale == "log" and self.far_m and not self.near_m:
            raise ConfigurationError("parameter color.near_m is 0, expected above 0 m with color.scale log")


@dataclass(frozen=True, kw_only=True)
class PointsParameters:
    """The cloud; what is not trusted in the depth image is not in the cloud either."""

    stride: int = parameter(
        1,
        "Every how many rows and columns a pixel becomes a point; 2 is a quarter of the data.",
        unit="px",
        minimum=1,
        maximum=64,
    )
    fields: str = parameter(
        XYZRGB_NORMALS,
        "Fields of a point: xyz is 12 bytes, xyzrgb 16, xyzrgb+normals 28.",
        choices=(XYZ, XYZRGB, XYZRGB_NORMALS),
    )
    organized: bool = parameter(
        True, "Keep the image's rows and columns, NaN where invalid; false leaves invalid points out."
    )
    max_m: float = parameter(
        0.0,
        "Leave out points farther along the optical axis, in addition to depth.max_m; 0 is no limit.",
        unit="m",
        minimum=0.0,
        maximum=_FARTHEST_M,
    )
    min_confidence: float = parameter(
        0.0,
        "Leave out points of less confidence, in addition to depth.min_confidence; 0 keeps all.",
        minimum=0.0,
        maximum=1.0,
    )
    max_jump: float = parameter(
        0.0,
        "Leave out points on edges as depth.max_jump does, but in the cloud alone; 0 keeps them.",
        minimum=0.0,
        maximum=10.0,
    )
    voxel_m: float = parameter(
        0.0,
        "Side of cubes whose points become one, their mean; the cloud is then not organised. 0 keeps every point.",
        unit="m",
        minimum=0.0,
        maximum=100.0,
    )

    def __post_init__(self) -> None:
        if 0 < self.voxel_m < 0.001:
            raise ConfigurationError(
                f"parameter points.voxel_m is {self.voxel_m:g} m, expected 0 (off) or at least 0.001 m"
            )

    @property
    def with_colour(self) -> bool:
        """Whether points have `rgb`."""
        return self.fields in (XYZRGB, XYZRGB_NORMALS)

    @property
    def with_normals(self) -> bool:
        """Whether points have normals."""
        return self.fields == XYZRGB_NORMALS


@dataclass(frozen=True, kw_only=True)
class ScanParameters:
    """The laser scan for 2-D navigation."""

    frame_id: str = parameter(
        "",
        "frame_id of scan: at the camera's place, x forward, y left, z up (REP-103), such as camera_link; never the "
        "optical frame.",
        check=check_scan_frame,
    )
    band_px: int = parameter(
        10, "Rows around the camera's horizon that the scan is taken from.", unit="px", minimum=1, maximum=65536
    )
    max_offset_m: float = parameter(
        0.0,
        "Ignore what is farther above or below the camera's optical axis, so that a broad band does not take the floor "
        "for an obstacle; 0 is no limit.",
        unit="m",
        minimum=0.0,
        maximum=1000.0,
    )
    min_range_m: float = parameter(
        0.45,
        "Nearer is -Inf: something is too close. A larger depth.min_m takes its place; nearer than that is NaN.",
        unit="m",
        minimum=0.0,
        maximum=_FARTHEST_M,
    )
    max_range_m: float = parameter(
        10.0,
        "Farther is +Inf: nothing within reach. A smaller depth.max_m takes its place, in the message's range_max too.",
        unit="m",
        minimum=0.01,
        maximum=_FARTHEST_M,
    )

    def __post_init__(self) -> None:
        _check_range("scan.min_range_m", self.min_range_m, "scan.max_range_m", self.max_range_m)


@dataclass(frozen=True, kw_only=True)
class CompressedDepthParameters:
    """depth/image/compressedDepth, as image_transport's plugin of that name writes it."""

    png_level: int = parameter(
        1,
        "Effort of the PNG compression: 0 is none, 9 (the plugin's default) takes some 50 times as long as 1.",
        minimum=0,
        maximum=9,
    )
    max_m: float = parameter(10.0, "Farther depth is invalid; 32FC1 only.", unit="m", minimum=0.1, maximum=_FARTHEST_M)
    quantization: float = parameter(
        100.0,
        "Steps that depth is stored in: more are finer, but reach less near; 32FC1 only.",
        minimum=1.0,
        maximum=100_000.0,
    )


@dataclass(frozen=True, kw_only=True)
class SnapshotParameters:
    """What ~/save_snapshot writes."""

    folder: str = parameter(
        "~/metric3d_snapshots",
        "Where ~/save_snapshot makes a folder for each snapshot; ~ is the home directory.",
        read_only=True,
    )
    timeout_s: float = parameter(
        10.0, "How long ~/save_snapshot waits for an image.", unit="s", minimum=0.1, maximum=3600.0, read_only=True
    )


def _check_range(near: str, near_m: float, far: str, far_m: float) -> None:
    if far_m and near_m >= far_m:
        raise ConfigurationError(f"parameter {near} is {near_m:g} m, expected below {far}, {far_m:g} m")
