"""Step: the parts of a synthetic dataset become one."""
