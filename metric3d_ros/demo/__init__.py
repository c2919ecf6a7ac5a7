"""The camera flight through the synthetic world, and everything that shows it."""
