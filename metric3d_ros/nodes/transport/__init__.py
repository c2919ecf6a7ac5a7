"""Shared memory for large messages, its clean-up after killed processes, and the SROS2 settings of the environment."""
