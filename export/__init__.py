"""From published Metric3D weights to a verified ONNX file; the only part of the project that imports torch."""
