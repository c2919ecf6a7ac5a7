"""Parameters that correct depth or find ground and obstacles in it, one module for each prefix."""
