"""Furniture, fittings and the clutter of rooms."""
