"""The rendered world in PyTorch, for a GPU or compiled."""
