"""Houses, vehicles and what stands along streets."""
