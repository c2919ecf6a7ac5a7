"""A camera flight through the synthetic world, or your own images, through the node; and the report of it."""
