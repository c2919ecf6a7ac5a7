"""`metric3d bench --gpu-report`: the gain of a GPU and of each optimisation for it, within a time limit."""
