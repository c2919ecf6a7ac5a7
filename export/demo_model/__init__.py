"""How the embedded demo model is trained, reproducibly."""
