"""Benchmarks of depth_node: its time beyond the network's own, and the time until it is back after a crash."""
