"""The parameters `outputs.*`: one switch for each output topic."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter


@dataclass(frozen=True, kw_only=True)
class SwitchParameters:
    """Which topics are advertised; an advertised topic without subscribers costs nothing."""

    depth: bool = parameter(True, "Advertise depth/image and depth/camera_info.", read_only=True)
    depth_color: bool = parameter(True, "Advertise depth/image_color.", read_only=True)
    compressed_depth: bool = parameter(True, "Advertise depth/image/compressedDepth.", read_only=True)
    normals: bool = parameter(True, "Advertise normals/image.", read_only=True)
    normals_color: bool = parameter(True, "Advertise normals/image_color.", read_only=True)
    confidence: bool = parameter(True, "Advertise confidence/image.", read_only=True)
    points: bool = parameter(True, "Advertise points.", read_only=True)
    rectified: bool = parameter(True, "Advertise rectified/image_rect and rectified/camera_info.", read_only=True)
    ground: bool = parameter(True, "Advertise ground/plane.", read_only=True)
    obstacles: bool = parameter(True, "Advertise points/obstacles.", read_only=True)
    normals_arrows: bool = parameter(False, "Advertise normals/arrows; requires visualization_msgs.", read_only=True)
    scan: bool = parameter(False, "Advertise scan; requires scan.frame_id.", read_only=True)
