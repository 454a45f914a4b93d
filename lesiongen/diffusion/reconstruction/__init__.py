"""Reconstructions: real images as the autoencoder of a generator gives them back."""
