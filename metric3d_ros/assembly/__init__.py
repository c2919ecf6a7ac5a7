"""Model files from the authors' checkpoints without PyTorch, by plans that come with the package."""
