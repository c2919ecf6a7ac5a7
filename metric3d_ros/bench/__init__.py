"""Benchmarks: equal results first, then time."""
