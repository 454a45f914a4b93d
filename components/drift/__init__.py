"""Step: how far a dataset is from a reference."""
