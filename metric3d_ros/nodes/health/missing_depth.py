"""What share of an image's pixels ends without depth and without a point, and which parameters leave them out."""

from metric3d_ros.nodes.parameters.depth_node_parameters import DepthParameters
from metric3d_ros.outputs.result import MissingDepth

MOST = 0.5
"""A larger share causes a warning."""

_LIMITS_OF_DEPTH = ("min_m", "max_m", "min_confidence", "max_jump")
_LIMITS_OF_POINTS = ("max_m", "min_confidence", "max_jump")


def explain_missing_depth(missing: MissingDepth, parameters: DepthParameters) -> str:
    """Return what is wrong if most of an output is missing, and the remedy; "" if it is not."""
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
