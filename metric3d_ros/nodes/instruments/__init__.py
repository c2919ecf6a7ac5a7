"""Nodes that measure other nodes: for benches and the demo."""
