"""The parameters `stability.*`: filters that keep depth steady from frame to frame."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter


@dataclass(frozen=True, kw_only=True)
class StabilityParameters:
    """The parameters `stability.*`."""

    scale: bool = parameter(
        False,
        "Remove the network's changes of scale from frame to frame, without latency; restarts at cuts and exposure "
        "jumps.",
    )
    temporal: bool = parameter(
        False,
        "Average the depth of static pixels over frames; a pixel whose depth or brightness changes keeps its own. "
        "Restarts at cuts.",
    )
