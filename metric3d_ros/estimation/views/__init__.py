"""What is shown to the network of a lens, and what comes back for its image."""
