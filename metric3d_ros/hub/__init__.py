"""Published files: downloads and their cache."""
