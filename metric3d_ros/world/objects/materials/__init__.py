"""Drawn materials, as walls, furniture, streets and single things have them."""
