"""Where a collection lies, and the files that are in it."""
