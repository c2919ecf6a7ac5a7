"""Nodes that measure other nodes, for benchmarks, tests and the demo."""
