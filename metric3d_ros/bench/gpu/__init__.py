"""`metric3d bench --gpu-report`: what a GPU and each piece of code for it is worth, within a few minutes."""
