"""The classifier that judges training images."""
