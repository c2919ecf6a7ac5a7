"""What a run does with each frame: the model, the outputs' options, and what is written."""

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import Any

from metric3d_ros.engine import AUTO, DEMO_MODEL
from metric3d_ros.errors import ConfigurationError
from metric3d_ros.estimation.demo_limits import describe_demo_limits
from metric3d_ros.estimation.estimator import Estimator
from metric3d_ros.nodes.parameter_server.schema import build
from metric3d_ros.nodes.parameters.color import ColorParameters
from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.outputs.table import OUTPUTS
from metric3d_ros.recordings.bags.writer import MCAP
from metric3d_ros.runs.facade import load

BAG, PNG16, NPZ, EXR, PLY, PCD = "bag", "png16", "npz", "exr", "ply", "pcd"
VIDEO, HTML, RRD = "video", "html", "rrd"
FORMATS = (BAG, PNG16, NPZ, EXR, PLY, PCD, VIDEO, HTML, RRD)

_LIBRARIES = {
    BAG: ("rosbags", "rosbags", "bags"),
    EXR: ("OpenEXR", "OpenEXR", "exr"),
    VIDEO: ("PyAV", "av", "video"),
    RRD: ("Rerun", "rerun", "viewer"),
}
"""What formats are written with: the library, its module, and the extra that installs it."""

_NOT_IN_RERUN = ("jet", "cividis")
"""Colour maps."""

_SIXTEEN_BIT_RANGE = "sixteen_bit_range"
_READ = {"rotate", "rectify", "outputs_in", "depth", "edges", "sky", "scale", "stability", "ground", "normals"}
_READ |= {"obstacles", "color", "points", "scan", "compressed_depth"}
"""Parameters of the node, and groups of them, that a run reads."""
_UNREAD = {f"scale.{name}" for name in ("topic_type", "transform", "use_tf", "max_age_s")}
_UNREAD |= {f"normals.{name}" for name in ("arrow_stride", "arrow_length_m")}
"""Those of the groups that it does not read."""
_OPTIONS = {
    "model": "--model",
    "provider": "--provider",
    "threads": "--threads",
    "inference_size": "--inference-size",
    "cameras": "--topics",
    "max_batch": "--batch",
    "rectified": "--rectified",
    "intrinsics": "--focal or --calibration",
    "hfov_deg": "--hfov",
    "camera_info_url": "--calibration",
    "camera_info_scaling": "--scale-calibration",
    "outputs": "--outputs",
    _SIXTEEN_BIT_RANGE: "Selection's sixteen_bit_range",
}
"""What a run has in place of a parameter or a group."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is done.

    Attributes:
        model, provider, threads, inference_size: as `load` takes them.
        parameters: values of the node's parameters by name, such as {"depth.max_m": 20.0}; those that a run reads.
        write: some of `FORMATS`.
        outputs: the bag's topics, as `outputs.*` of the node names them.
        storage: of the bag, "mcap" or "sqlite3".
        merge: the bag also gets all topics of the recording.
        batch: images of one size that go through the network together.
        chunk_frames: frames that are completed together.
    """

    model: str = DEMO_MODEL
    provider: str = AUTO
    threads: int = 0
    inference_size: str = "native"
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    write: tuple[str, ...] = (PNG16,)
    outputs: tuple[str, ...] = ("depth", "depth_color", "points")
    storage: str = MCAP
    merge: bool = False
    batch: int = 1
    chunk_frames: int = 64

    def __post_init__(self) -> None:
        if not self.write:
            raise ConfigurationError(f"--write is empty, expected some of {', '.join(FORMATS)}")
        unknown = [name for name in self.write if name not in FORMATS]
        if unknown:
            raise ConfigurationError(f"--write {','.join(unknown)} is unknown, expected some of {', '.join(FORMATS)}")
        for name in self.write:
            _check_library(name)
        if self.batch < 1 or self.chunk_frames < 1:
            raise ConfigurationError(
                f"batch is {self.batch} and chunk_frames is {self.chunk_frames}, expected at least 1 of each"
            )
        parameters = self.node_parameters()
        for name in self.parameters:
            _check_read(name)
        if RRD in self.write:
            _check_colours_of_rerun(parameters.color)
        scale = parameters.scale
        for given, word in (("scale.topic", scale.topic), ("scale.file", scale.file)):
            if word:
                raise ConfigurationError(
                    f"--param {given} is {word!r}, expected none: only depth_node takes ranges and remembers a factor; "
                    "use scale.factor, scale.camera_height_m or scale.known_distance_m"
                )
        # A bag's message classes are those of sensor_msgs.
        switches = list(dict.fromkeys(output.switch for output in OUTPUTS if output.package == "sensor_msgs"))
        wrong = [name for name in self.outputs if name not in switches]
        if wrong:
            raise ConfigurationError(f"--outputs {','.join(wrong)} is unknown, expected some of {', '.join(switches)}")
        if BAG in self.write and not (self.outputs or self.merge):
            raise ConfigurationError(f"--outputs is empty for --write bag, expected some of {', '.join(switches)}")

    @property
    def limits(self) -> str:
        """What the model cannot do, in one sentence; "" if nothing is known."""
        return describe_demo_limits("--model vit_small") if self.model == DEMO_MODEL else ""

    def node_parameters(self) -> DepthParameters:
        """Return the node's parameters with these values.

        Raises ConfigurationError for a name or a value that the node would refuse.
        """
        chosen = {"outputs.scan": BAG in self.write and "scan" in self.outputs}
        return build(DepthParameters, {**self.parameters, **chosen})

    @property
    def follows_frames(self) -> bool:
        """Whether the correction of a frame's depth depends on the frames before it."""
        corrections = self.node_parameters().corrections()
        is_measured = corrections.scale.is_on and not corrections.scale.factor
        return corrections.steady_scale or corrections.average or is_measured

    def estimator(self) -> Estimator:
        """Load the model.

        Raises as `load` does, and ConfigurationError if it does not give what the parameters need.
        """
        estimator = load(self.model, provider=self.provider, threads=self.threads, inference_size=self.inference_size)
        dataclasses.replace(self.node_parameters(), model=self.model).check_model(estimator.model.outputs)
        return estimator

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON has them; equal ones give equal results."""
        values = dataclasses.asdict(self)
        return {**values, "write": list(self.write), "outputs": list(self.outputs), "parameters": dict(self.parameters)}


def _check_colours_of_rerun(color: ColorParameters) -> None:
    """Raise ConfigurationError for colours that the Rerun viewer, which paints depth itself, does not have."""
    if color.map in _NOT_IN_RERUN or color.scale != "linear":
        raise ConfigurationError(
            f"color.map is {color.map} and color.scale {color.scale}, but the Rerun viewer has no color.map "
            f"{' or '.join(_NOT_IN_RERUN)} and no color.scale log: choose others, or leave rrd out of --write"
        )


def take_sixteen_bit_range(parameters: dict[str, Any]) -> str:
    """Return the range of 16-bit images of a bag, which `Selection` has, and remove it from `parameters`.

    Raises ConfigurationError for a value that the node would refuse.
    """
    given = {name: parameters.pop(name) for name in [_SIXTEEN_BIT_RANGE] if name in parameters}
    return build(DepthParameters, given).sixteen_bit_range


def _check_read(name: str) -> None:
    group = name.partition(".")[0]
    if group in _READ and name not in _UNREAD:
        return
    option = _OPTIONS.get(group)
    remedy = f"give {option}" if option else "only depth_node uses it; leave it out"
    raise ConfigurationError(f"--param {name} has no effect on a run: {remedy}")


def _check_library(name: str) -> None:
    library, module, extra = _LIBRARIES.get(name, ("", "", ""))
    if module and importlib.util.find_spec(module) is None:
        raise ConfigurationError(
            f"--write {name} needs {library}, which is not installed: pip install '.[{extra}]' in the source folder"
        )
