"""The model card's pictures: photographs cut from panoramas, and what a model estimates from them."""
