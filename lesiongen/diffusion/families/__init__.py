"""Kinds of text-to-image models, each in one file, behind one interface."""
