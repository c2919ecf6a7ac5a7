"""Corrections of one camera's estimates before outputs are built: sky, edges, stability, scale. No ROS."""

from metric3d_ros.corrections.corrector import Corrected, DepthCorrector
from metric3d_ros.corrections.options import CorrectionOptions, KnownDistance, ScaleSource, up_of_rotation

__all__ = ["Corrected", "CorrectionOptions", "DepthCorrector", "KnownDistance", "ScaleSource", "up_of_rotation"]
