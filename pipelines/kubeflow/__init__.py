"""Runs of pipelines on a Kubeflow Pipelines server: submit, watch, cancel, schedule."""
