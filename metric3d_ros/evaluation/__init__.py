"""How good a model is on images whose depth is known: folders, synthetic scenes, and the `metric3d evaluate` verb."""
