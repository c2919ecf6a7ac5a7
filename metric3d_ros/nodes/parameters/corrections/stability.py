"""The parameters `stability.*`: what keeps depth steady from frame to frame."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter


@dataclass(frozen=True, kw_only=True)
class StabilityParameters:
    """The parameters `stability.*`."""

    scale: bool = parameter(
        False,
        "Takes out the network's change of scale from frame to frame, without latency; starts anew at cuts and "
        "exposure jumps.",
    )
    temporal: bool = parameter(
        False,
        "Averages the depth of pixels that do not move over frames; a pixel whose depth or brightness changes keeps "
        "its own. Starts anew at cuts.",
    )
