"""Random materials of walls, furniture, streets and single objects."""
