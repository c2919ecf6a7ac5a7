"""The parameters `stability.*`: filters that keep depth steady from frame to frame."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter


@dataclass(frozen=True, kw_only=True)
class StabilityParameters:
    """The parameters `stability.*`."""

    scale: bool = parameter(
        False,
        "Remove the network's changes of scale from frame to frame that the camera's motion does not explain, without "
        "latency; restarts at cuts and exposure jumps.",
    )
    temporal: bool = parameter(
        False,
        "Average the depth of each point over the frames that show it, also if the camera moves; what moves by itself "
        "keeps its own depth to within 4 %. Restarts at cuts and exposure jumps.",
    )
