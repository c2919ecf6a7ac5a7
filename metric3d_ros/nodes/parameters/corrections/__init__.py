"""What corrects depth, and finds the ground and obstacles in it; one module for each prefix."""
