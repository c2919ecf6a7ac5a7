"""The Metric3D networks in plain PyTorch, under the published parameter names."""
