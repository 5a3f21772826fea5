"""A run on disk: its folder, its identity, the code that decides it, checkpoints, lock, figures, predictions."""
