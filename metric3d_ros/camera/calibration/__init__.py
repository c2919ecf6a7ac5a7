"""Calibration files: which file a URL means, what it says, and how it is written."""
