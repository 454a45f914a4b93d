"""Registered models as MLflow loads and serves them."""
