"""Shared memory for large messages, what killed processes left in it, and what the environment asks of SROS2."""
