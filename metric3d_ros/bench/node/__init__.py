"""What a whole node costs, beyond its network."""
