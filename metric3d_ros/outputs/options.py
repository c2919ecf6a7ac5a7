"""What outputs are made from and by: a frame and its options, as the node's and a recording's both have them."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metric3d_ros.camera import Camera
from metric3d_ros.geometry import GroundOptions, ObstacleOptions

ROWS, OBSTACLES = "rows", "obstacles"
"""What the scan is made from."""
Z, RANGE = "z", "range"
"""What a depth image holds: distance along the optical axis, or along each pixel's ray."""
FROM_NETWORK, FROM_DEPTH = "network", "depth"
"""Where normals come from."""
RECTIFIED = "rectified"
"""Outputs have the pixels of the rectified image, in place of the image's own."""
INVALID, INFINITE = "invalid", "infinite"
"""What depth beyond its maximum becomes: NaN, or +Inf."""


class DecodedFrame(Protocol):
    """An image with its camera."""

    @property
    def header(self) -> Any:
        """The image's own header."""

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3)."""

    @property
    def camera(self) -> Camera:
        """The image's camera."""

    @property
    def camera_info(self) -> Any:
        """The image's CameraInfo message; None if something else describes the camera."""


class DepthOptions(Protocol):
    """`depth.*` of docs/parameters.md."""

    @property
    def encoding(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def min_m(self) -> float: ...
    @property
    def max_m(self) -> float: ...
    @property
    def max_depth_m(self) -> float: ...
    @property
    def far(self) -> str: ...
    @property
    def min_confidence(self) -> float: ...
    @property
    def max_jump(self) -> float: ...


class PointsOptions(Protocol):
    """`points.*` of docs/parameters.md."""

    @property
    def stride(self) -> int: ...
    @property
    def organized(self) -> bool: ...
    @property
    def max_m(self) -> float: ...
    @property
    def min_confidence(self) -> float: ...
    @property
    def max_jump(self) -> float: ...
    @property
    def voxel_m(self) -> float: ...
    @property
    def fields(self) -> str: ...
    @property
    def with_colour(self) -> bool: ...
    @property
    def with_normals(self) -> bool: ...
    @property
    def with_confidence(self) -> bool: ...


class NormalsOptions(Protocol):
    """`normals.*` of docs/parameters.md."""

    @property
    def source(self) -> str: ...
    @property
    def arrow_stride(self) -> int: ...
    @property
    def arrow_length_m(self) -> float: ...


class ColourOptions(Protocol):
    """`color.*` of docs/parameters.md."""

    @property
    def map(self) -> str: ...
    @property
    def scale(self) -> str: ...
    @property
    def near_m(self) -> float: ...
    @property
    def far_m(self) -> float: ...


class ScanOptions(Protocol):
    """`scan.*` of docs/parameters.md."""

    @property
    def frame_id(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def band_px(self) -> int: ...
    @property
    def max_offset_m(self) -> float: ...


class ObstaclesOptions(Protocol):
    """`obstacles.*` of docs/parameters.md."""

    @property
    def stride(self) -> int: ...
    @property
    def options(self) -> ObstacleOptions: ...


class CompressedDepthOptions(Protocol):
    """`compressed_depth.*` of docs/parameters.md."""

    @property
    def max_m(self) -> float: ...
    @property
    def quantization(self) -> float: ...
    @property
    def png_level(self) -> int: ...


class OutputOptions(Protocol):
    """How outputs are made; the node's parameters are such options."""

    @property
    def outputs_in(self) -> str: ...
    @property
    def depth(self) -> DepthOptions: ...
    @property
    def points(self) -> PointsOptions: ...
    @property
    def normals(self) -> NormalsOptions: ...
    @property
    def color(self) -> ColourOptions: ...
    @property
    def scan(self) -> ScanOptions: ...
    @property
    def compressed_depth(self) -> CompressedDepthOptions: ...
    @property
    def obstacles(self) -> ObstaclesOptions: ...
    @property
    def ground_options(self) -> GroundOptions:
        """What counts as ground."""

    @property
    def rotate(self) -> int:
        """Degrees, as `geometry.turning` has it."""

    @property
    def scan_limits_m(self) -> tuple[float, float]:
        """The least and the greatest range of the scan, metres."""
