"""Model files from the authors' checkpoints, by plans that come with the package; without PyTorch."""
