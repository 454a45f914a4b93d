"""Step: what the synthetic images are worth is measured on real test images."""
