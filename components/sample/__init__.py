"""Step: the generator draws a synthetic dataset."""
