"""Step: every image of a dataset gets its caption."""
