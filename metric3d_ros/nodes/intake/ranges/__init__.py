"""Ranges of another sensor, transformed into the camera's frame to measure the scale of depth."""
