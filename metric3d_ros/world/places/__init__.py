"""Whole scenes: rooms, streets, yards."""
