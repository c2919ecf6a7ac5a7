"""Metric depth, surface normals and point clouds from one camera, on ROS 2, with the Metric3D network.

From Python, without ROS: `load` a model, `frames` of a recording, and `Camera`; docs/recordings.md shows how.
"""

import metric3d_ros.interruption  # noqa: F401, before all that takes time

# isort: split
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from metric3d_ros.camera import Camera as Camera
    from metric3d_ros.estimation.estimator import Estimate as Estimate
    from metric3d_ros.runs.facade import frames as frames
    from metric3d_ros.runs.facade import load as load

_LAZY = {
    "Camera": "metric3d_ros.camera",
    "Estimate": "metric3d_ros.estimation.estimator",
    "frames": "metric3d_ros.runs.facade",
    "load": "metric3d_ros.runs.facade",
}


def __getattr__(name: str) -> Any:
    """Import the Python interface when it is first used: the commands and nodes start without it."""
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'metric3d_ros' has no attribute {name!r}")
