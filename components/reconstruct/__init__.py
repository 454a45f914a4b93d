"""Step: the training images pass through the autoencoder of the generator."""
