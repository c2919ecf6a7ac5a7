"""The parameters `ground.*`: the ground plane, for ground/plane and obstacles."""

from dataclasses import dataclass

from metric3d_ros.geometry import GroundOptions
from metric3d_ros.nodes.parameter_server.schema import parameter


@dataclass(frozen=True, kw_only=True)
class GroundParameters:
    """The parameters `ground.*`."""

    max_tilt_deg: float = parameter(
        50.0,
        "Maximum angle between the ground's normal and the upright image's up: how far the camera may look down.",
        unit="degrees",
        minimum=1.0,
        maximum=89.0,
    )
    min_share: float = parameter(
        0.05, "Minimum fraction of the image's valid pixels that must be ground.", minimum=0.001, maximum=1.0
    )

    def options(self, up: tuple[float, float, float]) -> GroundOptions:
        """Return what counts as ground; `up` is where up roughly is in the optical frame."""
        return GroundOptions(up=up, max_tilt_deg=self.max_tilt_deg, min_share=self.min_share)
