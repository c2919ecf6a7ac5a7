"""Objects that stand in a scene, and where they can be placed."""
