"""Step: a dataset that did not pass its checks stops the pipeline."""
