"""What a node reports of itself, and which faults it finds in what it receives."""
