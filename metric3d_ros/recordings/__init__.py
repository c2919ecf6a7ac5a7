"""Reads and writes files of images, depth, normals and point clouds; writes videos."""
