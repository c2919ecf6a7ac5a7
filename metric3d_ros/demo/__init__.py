"""`metric3d demo`: a camera flight through the synthetic world, or your own images, through the node, with a report."""
