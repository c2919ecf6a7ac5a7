"""What a node reports about itself, and which faults it finds in its inputs."""
