"""Metric depth, surface normals and point clouds from one camera, on ROS 2, with the Metric3D network."""

__version__ = "0.1.0"
