"""Model folders: the base that is trained from, and the generator that is published."""
