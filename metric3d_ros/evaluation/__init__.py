"""How accurate a model is on images with known depth: `metric3d evaluate`."""
