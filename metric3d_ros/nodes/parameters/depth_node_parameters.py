"""The parameters of depth_node: those without a prefix, and a group for each prefix."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from metric3d_ros.codecs.sixteen_bits import AUTO_RANGE, parse_sample_range
from metric3d_ros.corrections import CorrectionOptions, up_of_rotation
from metric3d_ros.engine import AUTO, DEMO_MODEL, PROVIDERS, Tuning
from metric3d_ros.engine.providers import MOST_THREADS
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.estimator import CONFIDENCE
from metric3d_ros.estimation.inference_size import NATIVE, InferenceSize
from metric3d_ros.estimation.size_policy import DEFAULT_RATE_HZ
from metric3d_ros.estimation.views.lens_views import RECTIFY, RECTIFY_AUTO
from metric3d_ros.geometry import GroundOptions, check_angle
from metric3d_ros.messages import MAX_PIXELS
from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.color import ColorParameters
from metric3d_ros.nodes.parameters.compressed_depth import CompressedDepthParameters
from metric3d_ros.nodes.parameters.corrections.edges import EdgesParameters
from metric3d_ros.nodes.parameters.corrections.ground import GroundParameters
from metric3d_ros.nodes.parameters.corrections.normals import NormalsParameters
from metric3d_ros.nodes.parameters.corrections.obstacles import ObstaclesParameters
from metric3d_ros.nodes.parameters.corrections.scale import ScaleParameters
from metric3d_ros.nodes.parameters.corrections.sky import SkyParameters
from metric3d_ros.nodes.parameters.corrections.stability import StabilityParameters
from metric3d_ros.nodes.parameters.depth import DepthImageParameters
from metric3d_ros.nodes.parameters.outputs import SwitchParameters
from metric3d_ros.nodes.parameters.points import PointsParameters
from metric3d_ros.nodes.parameters.providers import CudaParameters, OpenVinoParameters, TensorRtParameters, parse_cpus
from metric3d_ros.nodes.parameters.qos_parameters import QosParameters
from metric3d_ros.nodes.parameters.scan import ScanParameters
from metric3d_ros.nodes.parameters.snapshot import SnapshotParameters
from metric3d_ros.outputs.options import OBSTACLES, RECTIFIED

RAW, COMPRESSED = "raw", "compressed"
REFUSE, SCALE = "refuse", "scale"
RECTIFIED_AUTO, RECTIFIED_TRUE, RECTIFIED_FALSE = "auto", "true", "false"

_NO_INTRINSICS = (0.0, 0.0, 0.0, 0.0)
# ROS cannot tell the type of an empty list.
_ONE_CAMERA = ("",)
_CAMERA_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*_?")


def check_camera_names(names: Sequence[str]) -> None:
    """Raise ConfigurationError if `names` cannot stand before topics, or name one camera twice."""
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
        "Path of an ONNX file, or the name of a published model (vit_small, vit_large, vit_giant2, convnext_tiny, "
        f"convnext_large; with :fp16 for GPUs), or {DEMO_MODEL!r} for the small model that comes with the package. A "
        "published model is downloaded and assembled when it is first used.",
        read_only=True,
    )
    provider: str = parameter(
        AUTO,
        "Execution provider of ONNX Runtime. auto uses the fastest of cuda, openvino and cpu that works, and "
        "falls back to the next one if it fails. docs/speed.md lists what each needs.",
        choices=(AUTO, *PROVIDERS),
        read_only=True,
    )
    threads: int = parameter(
        0, "CPU threads of the model; 0 uses every core.", minimum=0, maximum=MOST_THREADS, read_only=True
    )
    cpus: str = parameter(
        "",
        "CPU cores that the model and the threads that feed it are bound to, such as '0-3' or '2,3' (with "
        "quotes); '' is all cores.",
        check=parse_cpus,
        read_only=True,
    )
    spinning: bool = parameter(
        True,
        "The model's CPU threads busy-wait for work: 8 % faster with provider cpu; false saves a third of the CPU "
        "time if there are pauses between images.",
        read_only=True,
    )
    inference_size: str = parameter(
        NATIVE,
        "Image size for the network: native, trained, published (fitted into the training size and padded, as the "
        "authors measured accuracy), auto (the largest that holds target_rate_hz), or a maximum as WIDTHxHEIGHT or "
        "megapixels (0.5MP). Outputs always have the image's own size.",
        check=InferenceSize.parse,
    )
    target_rate_hz: float = parameter(
        DEFAULT_RATE_HZ,
        "Frame rate that inference_size auto holds.",
        unit="Hz",
        minimum=0.01,
        maximum=1000.0,
    )
    max_age_s: float = parameter(
        1.0,
        "Maximum age of outputs, from their image's arrival. If most are older, /diagnostics warns and names a "
        "faster inference_size; they are published all the same.",
        unit="s",
        minimum=0.001,
        maximum=3600.0,
    )
    cameras: tuple[str, ...] = parameter(
        _ONE_CAMERA,
        "Names of several cameras that share the model, such as [front, left]. Topics get the name as a prefix: "
        'front/image, front/depth/image. [""] is one camera without a prefix.',
        check=check_camera_names,
        read_only=True,
    )
    max_batch: int = parameter(
        8,
        "Maximum batch size: images of several cameras, all of one size, in one run of the model.",
        minimum=1,
        maximum=64,
    )
    always_run: bool = parameter(False, "Run the network on every image, even if no output has a subscriber.")
    image_transport: str = parameter(
        RAW,
        "Transport of the images: raw subscribes to image, compressed to image/compressed (JPEG, PNG, TIFF or WebP).",
        choices=(RAW, COMPRESSED),
        read_only=True,
    )
    max_pixels: int = parameter(
        16_777_216,
        "Maximum image size; larger images are dropped before decoding, and the memory of their messages is freed.",
        unit="px",
        minimum=784,
        maximum=MAX_PIXELS,
    )
    rotate: int = parameter(
        0,
        "Clockwise rotation that makes images upright for the network: 0, 90 (the camera's top points right, seen "
        "from behind), 180 (upside down) or 270 (left). Outputs keep the pixels and frame of the images.",
        unit="degrees",
        minimum=0,
        maximum=270,
        check=check_angle,
    )
    sixteen_bit_range: str = parameter(
        AUTO_RANGE,
        "Values of 16-bit images that become black and white: auto slowly follows the range in use, unless that "
        "is most of the full one; full is 0 to 65535; or MIN-MAX such as 7500-7900. 8-bit images are unaffected.",
        check=parse_sample_range,
    )
    rectified: str = parameter(
        RECTIFIED_AUTO,
        "Whether images are rectified: true uses P of camera_info and no distortion, false K and D. auto decides "
        "by the topic's name after remapping: image_rect, image_rect_color or camera_rect/image are rectified.",
        choices=(RECTIFIED_AUTO, RECTIFIED_TRUE, RECTIFIED_FALSE),
    )
    rectify: str = parameter(
        RECTIFY_AUTO,
        "Show raw images to the network as pinhole images, like those of its training: on, off, or auto (if the lens "
        "moves a pixel by 2 % of the half diagonal). A lens of more than 110 degrees is split into several views. At "
        "most 5 % of the pixels, at the corners, become invalid. Rectified images are unaffected.",
        choices=RECTIFY,
    )
    outputs_in: str = parameter(
        RAW,
        "Pixels of the outputs if images are rectified for the network: raw is the image's own; rectified those of the "
        "pinhole image, with its camera on depth/camera_info (no distortion), for lenses up to 130 degrees; it is "
        "published on rectified/image_rect.",
        choices=(RAW, RECTIFIED),
    )
    camera_info_tolerance_s: float = parameter(
        0.02,
        "Maximum stamp difference between an image and its camera_info. If none is that close, the last "
        "camera_info of the same frame_id and size is used.",
        unit="s",
        minimum=0.0,
        maximum=10.0,
        read_only=True,
    )
    intrinsics: tuple[float, ...] = parameter(
        _NO_INTRINSICS,
        "fx, fy, cx, cy of a camera without camera_info, which is then not subscribed to. Depth is proportional "
        "to the focal length. Zeros: use camera_info.",
        unit="px",
        read_only=True,
    )
    hfov_deg: float = parameter(
        0.0,
        "Horizontal field of view of a camera without camera_info, which is then not subscribed to. Depth is "
        "proportional to the focal length that it gives. 0: use camera_info.",
        unit="degrees",
        minimum=0.0,
        maximum=179.0,
        read_only=True,
    )
    camera_info_url: str = parameter(
        "",
        "Calibration file in place of camera_info: a path, file:// or package://, from camera_calibration, OpenCV "
        "or Kalibr. ${NAME} is the name in cameras or the last part of the namespace; #cam1 at the end selects a "
        "camera of the file. '': use camera_info.",
        read_only=True,
    )
    camera_info_scaling: str = parameter(
        REFUSE,
        "If an image has another size than its camera_info: refuse drops it; scale assumes that it was resized, not "
        "cropped, and scales the intrinsics.",
        choices=(REFUSE, SCALE),
        read_only=True,
    )
    openvino: OpenVinoParameters = field(default_factory=OpenVinoParameters)
    cuda: CudaParameters = field(default_factory=CudaParameters)
    tensorrt: TensorRtParameters = field(default_factory=TensorRtParameters)
    outputs: SwitchParameters = field(default_factory=SwitchParameters)
    depth: DepthImageParameters = field(default_factory=DepthImageParameters)
    edges: EdgesParameters = field(default_factory=EdgesParameters)
    sky: SkyParameters = field(default_factory=SkyParameters)
    scale: ScaleParameters = field(default_factory=ScaleParameters)
    stability: StabilityParameters = field(default_factory=StabilityParameters)
    ground: GroundParameters = field(default_factory=GroundParameters)
    normals: NormalsParameters = field(default_factory=NormalsParameters)
    obstacles: ObstaclesParameters = field(default_factory=ObstaclesParameters)
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
                "depth.min_m or depth.max_m, which it follows (with scan.source obstacles points.max_m and "
                "obstacles.max_range_m too), or scan.min_range_m or scan.max_range_m"
            )

    @property
    def scan_limits_m(self) -> tuple[float, float]:
        """The least and the greatest range of the scan, metres, which the other limits of distance narrow.

        What lies on the level of the optical axis is no farther along it than along the scan, so a scan of rows has
        depth for everything within `depth.max_m`. A scan of obstacles measures all its limits along the ground.
        """
        limits_m = [self.scan.max_range_m, self.depth.max_depth_m]
        if self.scan.source == OBSTACLES:
            limits_m += [self.points.max_m or float("inf"), self.obstacles.max_range_m]
        return max(self.scan.min_range_m, self.depth.min_m), min(limits_m)

    def corrections(self, camera: str = "") -> CorrectionOptions:
        """How the estimates of the camera of that name are corrected."""
        return CorrectionOptions(
            flying=self.edges.options,
            far=self.sky.options,
            steady_scale=self.stability.scale,
            scale=self.scale.source(camera),
            average=self.stability.temporal,
            rotate_deg=self.rotate,
            ground=self.ground_options if self.scale.camera_height_m else None,
        )

    @property
    def ground_options(self) -> GroundOptions:
        """What counts as ground."""
        return self.ground.options(up_of_rotation(self.rotate))

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
        """The names of `cameras`; one empty name for one camera without a prefix."""
        return self.cameras or _ONE_CAMERA

    def check_model(self, outputs: Collection[str]) -> None:
        """Raise ConfigurationError if these parameters need what a model with these `outputs` does not give."""
        limits = {
            "depth.min_confidence": self.depth.min_confidence,
            "points.min_confidence": self.points.min_confidence,
        }
        if self.points.with_confidence and CONFIDENCE not in outputs:
            raise ConfigurationError(
                f"parameter points.fields is {self.points.fields}, expected none with confidence with {self.model}, a "
                "model that gives no confidence"
            )
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
