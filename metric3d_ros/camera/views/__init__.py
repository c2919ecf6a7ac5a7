"""Pinhole images of what a camera with a lens sees, and the way back to its own pixels."""
