"""The tiny base model, built from a run's own images."""
