"""The parameters `scale.*`: the factor that corrects the scale of depth, and how it is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from metric3d_ros.corrections import KnownDistance, ScaleSource
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.files.paths import user_path
from metric3d_ros.nodes.parameter_server.schema import parameter
from metric3d_ros.nodes.parameters.ranges import FARTHEST_M
from metric3d_ros.scale import ScaleOptions

LASER_SCAN, POINT_CLOUD, RANGE = "laser_scan", "point_cloud", "range"


def check_box(box: Sequence[float]) -> None:
    """Raise ConfigurationError unless `box` is x, y, width, height in whole pixels."""
    whole = all(value == int(value) for value in box)
    if len(box) != 4 or not whole or min(box[:2]) < 0 or min(box[2:]) < 1:
        raise ConfigurationError(
            f"parameter scale.known_box is {list(box)}, expected x, y, width and height in whole pixels, such as "
            "[310.0, 230.0, 20.0, 20.0]"
        )


def check_transform(numbers: Sequence[float]) -> None:
    """Raise ConfigurationError unless there are six numbers."""
    if len(numbers) != 6:
        raise ConfigurationError(
            f"parameter scale.transform has {len(numbers)} numbers, expected 6: x y z in metres, roll pitch yaw in "
            "radians"
        )


@dataclass(frozen=True, kw_only=True)
class ScaleParameters:
    """The parameters `scale.*`."""

    factor: float = parameter(
        0.0,
        "Factor that multiplies all depth. 0: measured by the source that is set below; 1 if none is set.",
        minimum=0.0,
        maximum=100.0,
    )
    camera_height_m: float = parameter(
        0.0,
        "Height of the camera above the ground, to measure the factor whenever ground is in view. 0 is off.",
        unit="m",
        minimum=0.0,
        maximum=100.0,
    )
    known_distance_m: float = parameter(
        0.0,
        "Distance from the camera to the surface in scale.known_box, as a tape measures it. The factor is measured "
        "while this is set, and kept when it is 0 again.",
        unit="m",
        minimum=0.0,
        maximum=FARTHEST_M,
    )
    known_box: tuple[float, ...] = parameter(
        (0.0, 0.0, 1.0, 1.0),
        "x, y, width and height of the pixels at scale.known_distance_m: one surface.",
        unit="px",
        check=check_box,
    )
    topic: str = parameter(
        "",
        "Topic of ranges of another sensor, to measure the factor and to detect a wrong focal length. '' is off.",
        read_only=True,
    )
    topic_type: str = parameter(
        LASER_SCAN,
        "Type of scale.topic: LaserScan, PointCloud2 or Range of sensor_msgs.",
        choices=(LASER_SCAN, POINT_CLOUD, RANGE),
        read_only=True,
    )
    transform: tuple[float, ...] = parameter(
        (0.0, 0.0, 0.0, -1.5707963267948966, 0.0, -1.5707963267948966),
        "Pose of the camera's optical frame in the frame of scale.topic's sensor: x y z (m), roll pitch yaw (rad). The "
        "default: same place and direction, sensor x forward, z up.",
        check=check_transform,
    )
    use_tf: bool = parameter(
        False,
        "Take the pose of scale.topic's sensor from tf2, at the stamp of its message, instead of scale.transform; "
        "requires tf2_ros.",
        read_only=True,
    )
    max_age_s: float = parameter(
        0.2,
        "Maximum difference between the stamps of an image and of the ranges that are used with it.",
        unit="s",
        minimum=0.0,
        maximum=60.0,
    )
    freeze: bool = parameter(False, "Keep the present factor.")
    file: str = parameter(
        "",
        "File that stores the factor across restarts; with several cameras, the camera's name is prefixed. '' is none.",
        read_only=True,
    )
    time_constant_s: float = parameter(
        0.3, "Time constant: after it, the factor has followed 63 % of a change.", unit="s", minimum=0.0, maximum=600.0
    )
    min_factor: float = parameter(0.5, "Minimum factor; smaller measurements are refused.", minimum=0.01, maximum=1.0)
    max_factor: float = parameter(2.0, "Maximum factor; larger measurements are refused.", minimum=1.0, maximum=100.0)

    def __post_init__(self) -> None:
        self.source()

    def source(self, camera: str = "") -> ScaleSource:
        """Return where the factor of a camera comes from."""
        path = user_path(self.file) if self.file else None
        if path is not None and camera:
            path = path.with_name(f"{camera}_{path.name}")
        x, y, width, height = (int(value) for value in self.known_box)
        return ScaleSource(
            factor=self.factor,
            camera_height_m=self.camera_height_m,
            known=KnownDistance(distance_m=self.known_distance_m, box=(x, y, width, height))
            if self.known_distance_m
            else None,
            ranges=bool(self.topic),
            least_ranges=1 if self.topic_type == RANGE else 8,
            frozen=self.freeze,
            file=path,
            tracker=ScaleOptions(
                time_constant_s=self.time_constant_s, min_factor=self.min_factor, max_factor=self.max_factor
            ),
        )
