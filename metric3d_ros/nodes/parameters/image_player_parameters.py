"""The parameters of image_player."""

from dataclasses import dataclass

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.depth_node_parameters import REFUSE, SCALE


@dataclass(frozen=True, kw_only=True)
class PlayerParameters:
    """The parameters of image_player."""

    images: str = parameter("", "An image, a folder of images, or a pattern such as 'run/*.png'.", read_only=True)
    calibration: str = parameter(
        "",
        "Calibration file of the images: a path, file:// or package://, from camera_calibration, OpenCV or Kalibr.",
        read_only=True,
    )
    camera_info_scaling: str = parameter(
        REFUSE,
        "If an image has another size than the calibration: refuse ends with an error; scale scales the intrinsics.",
        choices=(REFUSE, SCALE),
        read_only=True,
    )
    focal_px: float = parameter(
        0.0, "Focal length, if there is no calibration.", unit="px", minimum=0.0, option="--focal", read_only=True
    )
    hfov_deg: float = parameter(
        0.0,
        "Horizontal field of view, if there is no calibration.",
        unit="degrees",
        minimum=0.0,
        maximum=179.0,
        option="--hfov",
        read_only=True,
    )
    rate_hz: float = parameter(
        5.0, "Frame rate.", unit="Hz", minimum=0.01, maximum=1000.0, option="--rate", read_only=True
    )
    loop: bool = parameter(False, "Start over after the last image; false ends there.", read_only=True)
    frame_id: str = parameter(
        "camera_optical_frame", "frame_id of the images: an optical frame (x right, y down, z forward).", read_only=True
    )
    encoding: str = parameter(
        "bgr8", "Encoding of the Image messages.", choices=("bgr8", "rgb8", "mono8"), read_only=True
    )
    wait_for_subscriber: bool = parameter(True, "Wait for a subscriber before the first image.", read_only=True)
    lockstep_topic: str = parameter(
        "",
        "Publish the next image only after a sensor_msgs/Image with the last stamp has arrived on this topic, "
        "such as 'depth/image', so that no frame is dropped. '': publish at rate_hz.",
        option="--lockstep",
        read_only=True,
    )
    lockstep_timeout_s: float = parameter(
        120.0,
        "Maximum time to wait on lockstep_topic before the next image.",
        unit="s",
        minimum=0.1,
        maximum=86400.0,
        read_only=True,
    )

    def __post_init__(self) -> None:
        sources = {"calibration": self.calibration, "focal_px": self.focal_px, "hfov_deg": self.hfov_deg}
        given = [name for name, value in sources.items() if value]
        if len(given) > 1:
            raise ConfigurationError(f"parameters {' and '.join(given)} are all set: set only one of them")
