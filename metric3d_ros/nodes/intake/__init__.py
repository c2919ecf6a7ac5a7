"""From a camera's topics to frames that can be worked on."""
