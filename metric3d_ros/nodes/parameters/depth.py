"""The parameters of each node: the one place where a parameter is added, described and given its default."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from metric3d_ros.engine import AUTO, DEMO_MODEL, PROVIDERS, Tuning
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.estimator import CONFIDENCE, DEFAULT_RATE_HZ
from metric3d_ros.estimation.inference_size import NATIVE, InferenceSize
from metric3d_ros.geometry import check_angle
from metric3d_ros.messages import MAX_PIXELS
from metric3d_ros.messages.sixteen_bits import AUTO_RANGE, parse_sample_range
from metric3d_ros.nodes.intake.rectification import RECTIFIED_AUTO, RECTIFIED_CHOICES
from metric3d_ros.nodes.parameters.engine import (
    CudaParameters,
    OpenVinoParameters,
    TensorRtParameters,
    parse_cpus,
)
from metric3d_ros.nodes.parameters.outputs import (
    ColorParameters,
    CompressedDepthParameters,
    DepthImageParameters,
    PointsParameters,
    ScanParameters,
    SnapshotParameters,
    SwitchParameters,
)
from metric3d_ros.nodes.parameters.qos import QosParameters
from metric3d_ros.nodes.parameters.schema import parameter

RAW, COMPRESSED = "raw", "compressed"
REFUSE, SCALE = "refuse", "scale"

_NO_INTRINSICS = (0.0, 0.0, 0.0, 0.0)
# ROS cannot tell the type of an empty list.
_ONE_CAMERA = ("",)
_CAMERA_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*_?")


def check_camera_names(names: Sequence[str]) -> None:
    """Raise ConfigurationError where `names` cannot stand before topics, or name one camera twice."""
    if tuple(names) in ((), _ONE_CAMERA):
        return
    for name in names:
        if not _CAMERA_NAME.fullmatch(name):
            raise ConfigurationError(
                f"parameter cameras has the name {name!r}, expected letters, digits and underscores, as in front_left"
            )
        if list(names).count(name) > 1:
            raise ConfigurationError(f"parameter cameras names {name!r} twice: give each camera a name of its own")


@dataclass(frozen=True, kw_only=True)
class DepthParameters:
    """The parameters of depth_node."""

    model: str = parameter(
        DEMO_MODEL,
        f"Path of an ONNX file, or {DEMO_MODEL!r} for the model that comes with the package.",
        read_only=True,
    )
    provider: str = parameter(
        AUTO,
        "Where the model runs; auto takes the fastest of cuda, openvino and cpu that works here, and the next one "
        "should it fail. docs/speed.md says what each needs.",
        choices=(AUTO, *PROVIDERS),
        read_only=True,
    )
    threads: int = parameter(
        0, "CPU threads of the model; 0 takes every core.", minimum=0, maximum=1024, read_only=True
    )
    cpus: str = parameter(
        "",
        "CPU cores that the model and what works beside it keep to, such as '0-3' or '2,3', in quotes; '' is all.",
        check=parse_cpus,
        read_only=True,
    )
    spinning: bool = parameter(
        True,
        "The model's CPU threads wait for work actively for a moment: 8 % faster with provider cpu; false spares a "
        "third of the CPU time where images leave pauses.",
        read_only=True,
    )
    inference_size: str = parameter(
        NATIVE,
        "Size at which the network sees the image: native, trained, auto (the largest that holds target_rate_hz), "
        "WIDTHxHEIGHT or megapixels such as 0.5MP, the last two as a cap. Outputs always have the image's own size.",
        check=InferenceSize.parse,
    )
    target_rate_hz: float = parameter(
        DEFAULT_RATE_HZ,
        "Images a second that inference_size auto holds.",
        unit="Hz",
        minimum=0.01,
        maximum=1000.0,
    )
    max_age_s: float = parameter(
        1.0,
        "Outputs that come out longer than this after their image came in are too old: where most are, /diagnostics "
        "warns, and tells which inference_size would be faster. They are published all the same.",
        unit="s",
        minimum=0.001,
        maximum=3600.0,
    )
    cameras: tuple[str, ...] = parameter(
        _ONE_CAMERA,
        "Names of several cameras, such as [front, left, right], that share the model: each has its own topics under "
        'its name, as in front/image and front/depth/image. [""]: one camera, whose topics have no such prefix.',
        check=check_camera_names,
        read_only=True,
    )
    max_batch: int = parameter(
        8, "Most images of several cameras, all of one size, that go through the model at once.", minimum=1, maximum=64
    )
    always_run: bool = parameter(
        False, "Run the network on every image, also while nobody has subscribed to what it makes."
    )
    image_transport: str = parameter(
        RAW,
        "How images come: raw subscribes to image, compressed to image/compressed (JPEG, PNG, TIFF or WebP).",
        choices=(RAW, COMPRESSED),
        read_only=True,
    )
    max_pixels: int = parameter(
        16_777_216,
        "Drop larger images before any memory is taken for them.",
        unit="px",
        minimum=784,
        maximum=MAX_PIXELS,
    )
    rotate: int = parameter(
        0,
        "For a camera that is mounted turned: by how much its images are turned clockwise to stand upright before the "
        "network sees them: 0, 90 (the camera's top is to its right, seen from behind), 180 (it hangs upside down) or "
        "270 (its top is to its left). All outputs stay at the pixels and in the frame of the images as they come.",
        unit="degrees",
        minimum=0,
        maximum=270,
        check=check_angle,
    )
    sixteen_bit_range: str = parameter(
        AUTO_RANGE,
        "Samples of 16-bit images that become black and white for the network: auto follows the range that the images "
        "use, slowly, unless that is most of the full one; full is 0 to 65535; or MIN-MAX such as 7500-7900. Images "
        "of 8 bits stay as they are.",
        check=parse_sample_range,
    )
    rectified: str = parameter(
        RECTIFIED_AUTO,
        "Whether images are rectified: true uses camera_info's P and no lens distortion, false its K and D. auto takes "
        "images for rectified if their topic's name says so after remapping, as image_rect, image_rect_color or "
        "camera_rect/image do.",
        choices=RECTIFIED_CHOICES,
    )
    camera_info_tolerance_s: float = parameter(
        0.02,
        "How far apart the stamps of an image and its camera_info may be. Where none is so near, the last camera_info "
        "of the same frame_id and size is used.",
        unit="s",
        minimum=0.0,
        maximum=10.0,
        read_only=True,
    )
    intrinsics: tuple[float, ...] = parameter(
        _NO_INTRINSICS,
        "fx, fy, cx, cy of the images, for a camera without camera_info, which is then not subscribed. Depth scales "
        "with the focal length. Zeros: use camera_info.",
        unit="px",
        read_only=True,
    )
    hfov_deg: float = parameter(
        0.0,
        "Horizontal field of view, for a camera without camera_info, which is then not subscribed. Depth scales with "
        "the focal length that follows from it. 0: use camera_info.",
        unit="degrees",
        minimum=0.0,
        maximum=179.0,
        read_only=True,
    )
    camera_info_url: str = parameter(
        "",
        "Calibration file of a camera without camera_info, which is then not subscribed: a path, file:// or "
        "package://, in the format of camera_calibration, OpenCV or Kalibr. ${NAME} stands for the name in cameras, or "
        "for the last part of the namespace; #cam1 at the end for one of several cameras in a file, where that name "
        "does not tell which. '': use camera_info.",
        read_only=True,
    )
    camera_info_scaling: str = parameter(
        REFUSE,
        "What happens if an image has not the size that its camera_info is for: refuse drops it, scale takes it for "
        "the whole calibrated image, resized, and scales the intrinsics.",
        choices=(REFUSE, SCALE),
        read_only=True,
    )
    openvino: OpenVinoParameters = field(default_factory=OpenVinoParameters)
    cuda: CudaParameters = field(default_factory=CudaParameters)
    tensorrt: TensorRtParameters = field(default_factory=TensorRtParameters)
    outputs: SwitchParameters = field(default_factory=SwitchParameters)
    depth: DepthImageParameters = field(default_factory=DepthImageParameters)
    color: ColorParameters = field(default_factory=ColorParameters)
    points: PointsParameters = field(default_factory=PointsParameters)
    scan: ScanParameters = field(default_factory=ScanParameters)
    compressed_depth: CompressedDepthParameters = field(default_factory=CompressedDepthParameters)
    snapshot: SnapshotParameters = field(default_factory=SnapshotParameters)
    qos: QosParameters = field(default_factory=QosParameters)

    def __post_init__(self) -> None:
        if len(self.intrinsics) != 4:
            raise ConfigurationError(
                f"parameter intrinsics has {len(self.intrinsics)} numbers, expected 4: fx, fy, cx, cy in pixels"
            )
        if any(self.intrinsics) and min(self.intrinsics[:2]) <= 0:
            raise ConfigurationError(
                f"parameter intrinsics is {list(self.intrinsics)}, expected fx and fy above 0 pixels"
            )
        described = {
            "intrinsics": any(self.intrinsics),
            "hfov_deg": self.hfov_deg,
            "camera_info_url": self.camera_info_url,
        }
        given = [name for name, value in described.items() if value]
        if len(given) > 1:
            both = "both" if len(given) == 2 else "all"
            raise ConfigurationError(f"parameters {' and '.join(given)} are {both} set: set only one of them")
        if self.outputs.scan and not self.scan.frame_id:
            raise ConfigurationError(
                "parameter scan.frame_id is '', expected the camera's frame with x forward and z up, such as "
                "camera_link, because outputs.scan is true"
            )
        least_m, most_m = self.scan_limits_m
        if self.outputs.scan and least_m >= most_m:
            raise ConfigurationError(
                f"the scan would reach from {least_m:g} to {most_m:g} m, expected the first below the second: change "
                "depth.min_m or depth.max_m, which it follows, or scan.min_range_m or scan.max_range_m"
            )

    @property
    def scan_limits_m(self) -> tuple[float, float]:
        """The least and the greatest range of the scan, metres: no depth is trusted outside of those of `depth.*`.

        What is nearer along the optical axis than a limit is nearer in every direction, so within these limits
        everything has been looked at.
        """
        return max(self.scan.min_range_m, self.depth.min_m), min(self.scan.max_range_m, self.depth.max_depth_m)

    @property
    def tuning(self) -> Tuning:
        """How the model is to be run."""
        return Tuning(
            threads=self.threads,
            spinning=self.spinning,
            cpus=parse_cpus(self.cpus),
            openvino_precision=self.openvino.precision,
            cuda_graphs=self.cuda.graphs,
            cuda_prefer_nhwc=self.cuda.prefer_nhwc,
            cuda_conv_search=self.cuda.conv_search,
            tensorrt_fp16=self.tensorrt.fp16,
        )

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The names of `cameras`; one empty name where there is one camera without a prefix."""
        return self.cameras or _ONE_CAMERA

    def check_model(self, outputs: Collection[str]) -> None:
        """Raise ConfigurationError where these parameters need what a model with these `outputs` does not give."""
        limits = {
            "depth.min_confidence": self.depth.min_confidence,
            "points.min_confidence": self.points.min_confidence,
        }
        for name, value in limits.items():
            if value and CONFIDENCE not in outputs:
                raise ConfigurationError(
                    f"parameter {name} is {value:g}, expected 0 with {self.model}, a model that gives no confidence"
                )

    @property
    def replaces_camera_info(self) -> bool:
        """Whether the camera is described by `intrinsics`, `hfov_deg` or `camera_info_url`."""
        return any(self.intrinsics) or self.hfov_deg > 0 or bool(self.camera_info_url)

    @property
    def scales_camera_info(self) -> bool:
        """Whether intrinsics are scaled to images of another size."""
        return self.camera_info_scaling == SCALE


@dataclass(frozen=True, kw_only=True)
class PlayerParameters:
    """The parameters of image_player."""

    images: str = parameter("", "An image, a folder of images, or a pattern such as 'run/*.png'.", read_only=True)
    calibration: str = parameter(
        "",
        "Calibration file with the intrinsics of these images: a path, file:// or package://, in the format of "
        "camera_calibration, OpenCV or Kalibr.",
        read_only=True,
    )
    camera_info_scaling: str = parameter(
        REFUSE,
        "What happens if an image has not the size of the calibration: refuse ends, scale scales the intrinsics.",
        choices=(REFUSE, SCALE),
        read_only=True,
    )
    focal_px: float = parameter(
        0.0, "Focal length, where there is no calibration.", unit="px", minimum=0.0, option="--focal", read_only=True
    )
    hfov_deg: float = parameter(
        0.0,
        "Horizontal field of view, where there is no calibration.",
        unit="degrees",
        minimum=0.0,
        maximum=179.0,
        option="--hfov",
        read_only=True,
    )
    rate_hz: float = parameter(
        5.0, "Images a second.", unit="Hz", minimum=0.01, maximum=1000.0, option="--rate", read_only=True
    )
    loop: bool = parameter(False, "Start over after the last image; otherwise the player ends.", read_only=True)
    frame_id: str = parameter(
        "camera_optical_frame", "frame_id of the images: z forward, x right, y down.", read_only=True
    )
    encoding: str = parameter(
        "bgr8", "Encoding of the Image messages.", choices=("bgr8", "rgb8", "mono8"), read_only=True
    )
    wait_for_subscriber: bool = parameter(True, "Publish nothing before somebody has subscribed.", read_only=True)
    lockstep_topic: str = parameter(
        "",
        "Publish the next image only when a sensor_msgs/Image with the stamp of the last one has come on this topic, "
        "such as 'depth/image', so that no frame is dropped. '' goes by the rate alone.",
        option="--lockstep",
        read_only=True,
    )
    lockstep_timeout_s: float = parameter(
        120.0, "Give up on a result after this long and go on.", unit="s", minimum=0.1, maximum=86400.0, read_only=True
    )

    def __post_init__(self) -> None:
        sources = {"calibration": self.calibration, "focal_px": self.focal_px, "hfov_deg": self.hfov_deg}
        given = [name for name, value in sources.items() if value]
        if len(given) > 1:
            raise ConfigurationError(f"parameters {' and '.join(given)} are all set: set only one of them")
