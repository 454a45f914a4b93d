"""Images and captions, encoded once and kept."""
