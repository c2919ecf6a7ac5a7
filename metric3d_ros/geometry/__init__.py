"""Rays, points, normals and filters on depth images: pure NumPy in, pure NumPy out."""
