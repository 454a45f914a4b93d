"""Step: a dataset that exists already enters a pipeline."""
