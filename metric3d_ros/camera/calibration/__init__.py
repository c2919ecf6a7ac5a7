"""Calibration files: which file a URL names, how it is read and how it is written."""
