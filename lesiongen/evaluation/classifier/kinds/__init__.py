"""The kinds of classifiers that an evaluation can train, one to a file."""
