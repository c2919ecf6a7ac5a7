"""Depth, points and pictures in Rerun."""
