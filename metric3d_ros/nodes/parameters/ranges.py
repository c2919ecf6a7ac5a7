"""Limits in metres that several parameters share."""

from metric3d_ros.errors import ConfigurationError

FARTHEST_M = 10_000.0
"""The greatest distance that a parameter accepts."""


def check_range(near: str, near_m: float, far: str, far_m: float) -> None:
    """Raise ConfigurationError unless `near_m` is below `far_m`, if that is set; `near` and `far` are their names."""
    if far_m and near_m >= far_m:
        raise ConfigurationError(f"parameter {near} is {near_m:g} m, expected below {far}, {far_m:g} m")
