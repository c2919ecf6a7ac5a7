"""The parameters `compressed_depth.*`: depth/image/compressedDepth, in the format of image_transport's plugin."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.ranges import FARTHEST_M


@dataclass(frozen=True, kw_only=True)
class CompressedDepthParameters:
    """The parameters `compressed_depth.*`."""

    png_level: int = parameter(
        1,
        "PNG compression level: 0 is none; 9, the plugin's default, takes about 50 times as long as 1.",
        minimum=0,
        maximum=9,
    )
    max_m: float = parameter(
        10.0, "Maximum depth; farther depth is invalid. 32FC1 only.", unit="m", minimum=0.1, maximum=FARTHEST_M
    )
    quantization: float = parameter(
        100.0,
        "The plugin's depth_quantization: larger is finer, but the smallest depth that fits is larger. 32FC1 only.",
        minimum=1.0,
        maximum=100_000.0,
    )
