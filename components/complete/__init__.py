"""Step: the last one of a pipeline whose stages may all be cached."""
