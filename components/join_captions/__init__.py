"""Step: a dataset is checked, and the pipeline stops where it fails."""
