"""What a node reports of itself, and what is wrong with what it gets."""
