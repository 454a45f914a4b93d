"""Drawing images with a generator."""
