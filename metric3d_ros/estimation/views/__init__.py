"""Pinhole views of a lens for the network, and its outputs mapped back to the image's pixels."""
