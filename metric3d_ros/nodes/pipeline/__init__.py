"""From a frame to its results: which frame, when, on which thread."""
