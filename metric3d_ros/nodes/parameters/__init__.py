"""Every parameter: its table, its sources, its documentation."""
