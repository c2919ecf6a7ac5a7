"""A synthetic indoor world with known depth, and the demo that is flown through it."""
