"""What share of an image's pixels ends without depth and without a point, and which parameters leave them out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metric3d_ros.nodes.outlet.results import Result
from metric3d_ros.nodes.parameters.depth import DepthParameters
from metric3d_ros.nodes.parameters.outputs import INFINITE

MOST = 0.5
"""A larger share is worth a warning."""

# Every so many rows and columns are looked at: shares are exact to a hundredth, and 1080p costs 0.1 ms.
_STRIDE = 8

_LIMITS_OF_DEPTH = ("min_m", "max_m", "min_confidence", "max_jump")
_LIMITS_OF_POINTS = ("max_m", "min_confidence", "max_jump")


@dataclass(frozen=True, kw_only=True)
class MissingDepth:
    """Shares from 0 to 1 of one image's pixels; None for what nobody has subscribed to."""

    depth: float | None = None
    """NaN in depth/image."""
    points: float | None = None
    """Without a point, for want of depth or of a ray."""


def find_missing_depth(result: Result) -> MissingDepth:
    """Return the shares of what has been made of this image."""
    made = vars(result)
    far = result.parameters.depth.far == INFINITE
    depth = made.get("far_depth_m" if far else "depth_m")
    cloud = made.get("cloud_depth_m")
    points = None
    if cloud is not None:
        no_ray = np.isnan(result.camera.ray_planes(stride=_STRIDE)[2])
        points = _share(np.isnan(cloud[::_STRIDE, ::_STRIDE]) | no_ray)
    return MissingDepth(depth=None if depth is None else _share(np.isnan(depth[::_STRIDE, ::_STRIDE])), points=points)


def explain_missing_depth(missing: MissingDepth, parameters: DepthParameters) -> str:
    """Return what is wrong where most of an output is missing, and what to look at; "" where it is not."""
    if missing.points is not None and missing.points > MOST:
        limits = _limits(parameters, depth=True, points=True)
        return f"{missing.points:.0%} of the pixels give no point: {limits}"
    if missing.depth is not None and missing.depth > MOST:
        return f"{missing.depth:.0%} of depth/image is invalid: {_limits(parameters, depth=True, points=False)}"
    return ""


def _limits(parameters: DepthParameters, *, depth: bool, points: bool) -> str:
    groups = [("depth", parameters.depth, _LIMITS_OF_DEPTH)] * depth
    given = {
        f"{group}.{name}": getattr(values, name)
        for group, values, names in [*groups, *[("points", parameters.points, _LIMITS_OF_POINTS)] * points]
        for name in names
    }
    named = ", ".join(f"{name} {value:g}" for name, value in given.items() if value)
    if named:
        return f"relax {named}, or see whether the lens or the network gives nothing there"
    return "no limit is set, so the lens has no ray there or the network gives no depth"


def _share(missing: npt.NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(missing) / missing.size)
