"""Parameters, one module for each prefix: points.stride is in points.py, max_pixels in depth_node_parameters.py."""
