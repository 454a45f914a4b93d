"""Kubeflow Pipelines components, one for each stage."""
