"""Pictures for people: depth, normals and confidence as colours, clouds from above and from the side, panels."""

from metric3d_ros.pictures.cloud_views import draw_cloud
from metric3d_ros.pictures.colours import (
    COLOUR_MAPS,
    INVALID_RGB,
    DepthColours,
    confidence_to_rgb,
    depth_to_rgb,
    normals_to_rgb,
)
from metric3d_ros.pictures.panels import Panel, compose_panels, draw_frame
from metric3d_ros.pictures.steady_range import SteadyRange

__all__ = [
    "COLOUR_MAPS",
    "INVALID_RGB",
    "DepthColours",
    "Panel",
    "SteadyRange",
    "compose_panels",
    "confidence_to_rgb",
    "depth_to_rgb",
    "draw_cloud",
    "draw_frame",
    "normals_to_rgb",
]
