"""A base model of one's own: a tiny model trained on images that may be handed on, with a list of what it has seen."""
