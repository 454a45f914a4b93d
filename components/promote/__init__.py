"""Step: the gates decide about the registered version."""
