"""Lens models: their names, their distortion, and the inverse of it for every pixel."""
