"""Step: the pipeline's final status is logged, however it ended."""
