"""What can be set, one module for each prefix: `points.stride` is in points.py, what has no prefix in depth_node.py."""
