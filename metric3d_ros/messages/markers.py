"""Normals to arrows, visualization_msgs/MarkerArray, for RViz."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ARROW, _ADD, _DELETE_ALL = 0, 0, 3  # of visualization_msgs/Marker
_SHAFT, _HEAD = 0.12, 0.25
"""Diameters as parts of the length."""


def normals_to_arrows(
    points: NDArray[np.float32], normals: NDArray[np.float32], *, length_m: float, header: Any, classes: Any
) -> Any:
    """Build one arrow of `length_m` at each point (..., 3) along its normal (..., 3), both in the header's frame.

    Points and normals are metres and unit vectors, NaN where invalid; those get no arrow. Colours are those of
    normals/image_color. The first marker deletes the arrows of the message before. `classes` has MarkerArray, Marker,
    Point and ColorRGBA.
    """
    flat, directions = points.reshape(-1, 3), normals.reshape(-1, 3)
    known = np.isfinite(flat).all(axis=1) & np.isfinite(directions).all(axis=1)
    tails = flat[known].astype(float)
    tips = tails + length_m * directions[known]
    colours = ((directions[known] + 1) / 2).astype(float)
    markers = [classes.Marker(header=header, ns="normals", action=_DELETE_ALL)]
    for index, (tail, tip, colour) in enumerate(zip(tails.tolist(), tips.tolist(), colours.tolist(), strict=True)):
        marker = classes.Marker(header=header, ns="normals", id=index, type=_ARROW, action=_ADD)
        marker.pose.orientation.w = 1.0
        marker.scale.x, marker.scale.y = _SHAFT * length_m, _HEAD * length_m
        marker.points = [classes.Point(x=end[0], y=end[1], z=end[2]) for end in (tail, tip)]
        marker.color = classes.ColorRGBA(r=colour[0], g=colour[1], b=colour[2], a=1.0)
        markers.append(marker)
    return classes.MarkerArray(markers=markers)
