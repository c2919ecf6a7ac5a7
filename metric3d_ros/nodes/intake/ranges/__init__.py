"""Ranges of another sensor, brought into the camera, to measure the scale by."""
