"""Which corrections are made; everything is off by default, and what is off costs nothing."""

from dataclasses import dataclass, field
from pathlib import Path

from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.estimator import CONFIDENCE, DEPTH, NORMALS
from metric3d_ros.geometry import FarOptions, FlyingPixelOptions, GroundOptions
from metric3d_ros.scale import ScaleOptions

_UP_OF_ROTATION = {0: (0.0, -1.0, 0.0), 90: (-1.0, 0.0, 0.0), 180: (0.0, 1.0, 0.0), 270: (1.0, 0.0, 0.0)}


def up_of_rotation(rotate_deg: int) -> tuple[float, float, float]:
    """Return where up roughly is in the optical frame of a camera that is mounted turned, as in `geometry.turning`."""
    return _UP_OF_ROTATION[rotate_deg]


@dataclass(frozen=True, kw_only=True)
class KnownDistance:
    """The distance of what is seen in a box of pixels."""

    distance_m: float
    box: tuple[int, int, int, int]
    """x, y, width, height."""


@dataclass(frozen=True, kw_only=True)
class ScaleSource:
    """Where the factor of depth comes from; at most one of them."""

    factor: float = 0.0
    """A fixed one; 0 if it is measured."""
    camera_height_m: float = 0.0
    """Above the ground; 0 if it is not known."""
    known: KnownDistance | None = None
    ranges: bool = False
    """Whether points of another sensor are passed in."""
    least_ranges: int = 8
    """At least so many of these must meet a pixel with depth."""
    frozen: bool = False
    file: Path | None = None
    """Remembers the factor."""
    tracker: ScaleOptions = field(default_factory=ScaleOptions)

    def __post_init__(self) -> None:
        given = [
            name
            for name, value in {
                "scale.factor": self.factor,
                "scale.camera_height_m": self.camera_height_m,
                "scale.known_distance_m": self.known,
                "scale.topic": self.ranges,
            }.items()
            if value
        ]
        if len(given) > 1:
            raise ConfigurationError(f"parameters {' and '.join(given)} are set: set only one of them")

    @property
    def is_on(self) -> bool:
        """Whether there is a factor to find or to remember."""
        return bool(self.factor or self.camera_height_m or self.known or self.ranges or self.file)


@dataclass(frozen=True, kw_only=True)
class CorrectionOptions:
    """The corrections of one camera, in the order in which they are made."""

    flying: FlyingPixelOptions | None = None
    """Removes flying pixels; None leaves them."""
    far: FarOptions | None = None
    """Makes sky and far pixels infinite; None leaves them."""
    steady_scale: bool = False
    scale: ScaleSource = field(default_factory=ScaleSource)
    average: bool = False
    """Averages the depth of still pixels over frames."""
    rotate_deg: int = 0
    """As `geometry.turning` has it; tells where up is."""
    ground: GroundOptions | None = None
    """What counts as ground for the camera's height; None: the default, with `up`."""

    @property
    def is_on(self) -> bool:
        """Whether anything is corrected."""
        return bool(self.flying or self.far or self.steady_scale or self.average or self.scale.is_on)

    @property
    def needs(self) -> frozenset[str]:
        """The estimator's outputs that it takes."""
        needed = {DEPTH}
        if self.flying or self.scale.camera_height_m:
            needed.add(NORMALS)
        if self.far or self.scale.known:  # a distance on the sky is none
            needed.add(CONFIDENCE)
        return frozenset(needed)

    @property
    def up(self) -> tuple[float, float, float]:
        """Where up roughly is in the optical frame."""
        return _UP_OF_ROTATION[self.rotate_deg]
