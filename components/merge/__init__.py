"""Step: datasets of different collections become one."""
