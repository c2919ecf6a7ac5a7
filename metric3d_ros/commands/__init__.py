"""The verbs of `metric3d` that are not programs of their own."""
