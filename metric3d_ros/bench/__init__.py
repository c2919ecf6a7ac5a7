"""Benchmarks: models and the node against baselines; equal results first, then time."""
