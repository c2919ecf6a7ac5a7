"""Nodes that measure or read other nodes, for commands, benchmarks, tests and the demo."""
