"""Pinhole images of what a camera with a lens sees, and the mapping back to its own pixels."""
