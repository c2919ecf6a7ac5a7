"""How long depth_node takes beyond its network, and until it is back after it died."""
