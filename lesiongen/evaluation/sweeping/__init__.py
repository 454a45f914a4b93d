"""The sweep: which synthetic images, mixed in how, help on validation images; the test split is never opened."""
