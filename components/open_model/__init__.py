"""Step: a generator that exists already enters a pipeline."""
