"""The report of an export: JSON record, HTML page, run times."""
