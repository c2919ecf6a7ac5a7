"""The parameters `snapshot.*`: what the service ~/save_snapshot does."""

from dataclasses import dataclass

from metric3d_ros.nodes.parameter_server.schema import parameter


@dataclass(frozen=True, kw_only=True)
class SnapshotParameters:
    """The parameters `snapshot.*`."""

    folder: str = parameter(
        "~/metric3d_snapshots",
        "Folder in which ~/save_snapshot creates one folder per snapshot; ~ is the home directory.",
        read_only=True,
    )
    timeout_s: float = parameter(
        10.0,
        "Maximum time that ~/save_snapshot waits for an image.",
        unit="s",
        minimum=0.1,
        maximum=3600.0,
        read_only=True,
    )
