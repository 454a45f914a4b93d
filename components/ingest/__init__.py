"""Step: a collection of images becomes a dataset."""
