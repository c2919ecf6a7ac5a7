"""What only a GPU needs: its driver, its memory, CUDA graphs, TensorRT."""
