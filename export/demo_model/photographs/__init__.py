"""The model card's pictures: photographs cropped from panoramas, and what a model estimates from them."""
