"""The synthetic world: scenes drawn from seeds, rendered with exact depth and normals."""
