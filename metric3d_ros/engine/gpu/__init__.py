"""Code that only GPUs need: driver, memory, CUDA graphs, TensorRT."""
