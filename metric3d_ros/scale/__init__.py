"""How large is the world? Factors that correct the scale of depth, and what keeps depth steady from frame to frame."""

from metric3d_ros.scale.focal_search import FocalSearch
from metric3d_ros.scale.measurements import (
    Measured,
    ScaleMeasurement,
    ScaleRefusal,
    fixed_scale,
    scale_from_camera_height,
    scale_from_known_distance,
    scale_from_ranges,
)
from metric3d_ros.scale.motion import Motion, MotionEstimator
from metric3d_ros.scale.stabiliser import ScaleStabiliser, StabiliserOptions
from metric3d_ros.scale.temporal_filter import TemporalFilter, TemporalFilterOptions
from metric3d_ros.scale.tracker import ScaleOptions, ScaleState, ScaleTracker, load_scale, save_scale

__all__ = [
    "FocalSearch",
    "Measured",
    "Motion",
    "MotionEstimator",
    "ScaleMeasurement",
    "ScaleOptions",
    "ScaleRefusal",
    "ScaleStabiliser",
    "ScaleState",
    "ScaleTracker",
    "StabiliserOptions",
    "TemporalFilter",
    "TemporalFilterOptions",
    "fixed_scale",
    "load_scale",
    "save_scale",
    "scale_from_camera_height",
    "scale_from_known_distance",
    "scale_from_ranges",
]
