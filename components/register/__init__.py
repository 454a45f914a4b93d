"""Step: the evaluated generator becomes a version in the registry."""
