"""Shared memory for large messages: its size, and what killed processes left in it."""
