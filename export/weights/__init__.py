"""Checkpoints: downloads, and loading them into a network."""
