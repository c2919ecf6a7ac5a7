"""From a network to an ONNX graph, and its faster forms."""
