"""The verbs of `metric3d` that have no room of their own: check-camera, fetch, info and models."""
