"""How the demo model is trained, reproducibly."""
