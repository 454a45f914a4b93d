"""Checkpoints: their store, and writing them beside the training."""
