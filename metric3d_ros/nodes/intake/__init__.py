"""From a camera's topics to complete frames."""
