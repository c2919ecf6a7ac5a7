"""Depth images to points, normals, filtered depth, voxels and scans; pure NumPy, in the camera's optical frame."""

from metric3d_ros.geometry.cell_normals import cell_normals_from_depth
from metric3d_ros.geometry.deprojection import convert_depth, depth_to_points
from metric3d_ros.geometry.far import FarOptions, find_far
from metric3d_ros.geometry.filters import depth_edges, filter_depth
from metric3d_ros.geometry.flying_pixels import FlyingPixelOptions, find_flying_pixels
from metric3d_ros.geometry.ground import GroundOptions, GroundPlane, NoGround, find_ground
from metric3d_ros.geometry.normals import normals_from_depth
from metric3d_ros.geometry.obstacles import ObstacleOptions, find_obstacles, obstacles_to_scan
from metric3d_ros.geometry.scan import Scan, depth_to_scan
from metric3d_ros.geometry.turning import (
    check_angle,
    turn_back,
    turn_normals_back,
    turn_upright,
    turned_size,
    upright_camera,
)
from metric3d_ros.geometry.voxels import voxel_means

__all__ = [
    "FarOptions",
    "FlyingPixelOptions",
    "GroundOptions",
    "GroundPlane",
    "NoGround",
    "ObstacleOptions",
    "Scan",
    "cell_normals_from_depth",
    "check_angle",
    "convert_depth",
    "depth_edges",
    "depth_to_points",
    "depth_to_scan",
    "filter_depth",
    "find_far",
    "find_flying_pixels",
    "find_ground",
    "find_obstacles",
    "normals_from_depth",
    "obstacles_to_scan",
    "turn_back",
    "turn_normals_back",
    "turn_upright",
    "turned_size",
    "upright_camera",
    "voxel_means",
]
