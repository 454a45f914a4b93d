"""Gives a task of a pipeline its image, resources, retries, caching and what it needs of Kubernetes."""

from collections.abc import Callable
from typing import Any

from kfp import kubernetes

from pipelines.settings import IMAGE_USER, CompileSettings
from pipelines.stages import STEPS

__all__ = ["configure", "tasks_of"]

# No variable of AWS or MLflow: Kubeflow's launcher runs in the step's environment and would take the keys for its own
# artifact store, and its MLflow plugin sets an address of its own, which must not be there twice.
_SECRET_KEYS = {
    "access-key": "LESIONGEN_S3_ACCESS_KEY_ID",
    "secret-key": "LESIONGEN_S3_SECRET_ACCESS_KEY",
    "mlflow-username": "LESIONGEN_MLFLOW_USERNAME",
    "mlflow-password": "LESIONGEN_MLFLOW_PASSWORD",
}
_MODEL_KEY = {"api-key": "LESIONGEN_VLM_API_KEY"}
_SERVICE_KEYS = {
    "s3-endpoint": "LESIONGEN_S3_ENDPOINT_URL",
    "s3-region": "LESIONGEN_S3_REGION",
    "mlflow-uri": "LESIONGEN_MLFLOW_URI",
}
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount point, no file of ours
_RUN_LABEL = "metadata.labels['pipeline/runid']"


def tasks_of(settings: CompileSettings, *, secret: Any, services: Any) -> Callable[..., Any]:
    """Returns the function that makes the tasks of a pipeline, given a step's name and its component's arguments.

    Args:
        settings: How the pipeline is compiled.
        secret: Name of the Kubernetes Secret with the S3 credentials; a pipeline parameter or a text.
        services: Name of the ConfigMap with the addresses of S3 and MLflow; likewise.
    """

    def run(step: str, **arguments: Any) -> Any:
        return configure(STEPS[step].component(**arguments), step, settings, secret=secret, services=services)

    return run


def configure(task: Any, stage: str, settings: CompileSettings, *, secret: Any, services: Any) -> Any:
    """Applies the compile's settings to one task.

    Args:
        task: The task of the pipeline.
        stage: The step that it runs.
        settings: How the pipeline is compiled.
        secret: Name of the Kubernetes Secret with the S3 credentials; a pipeline parameter or a text.
        services: Name of the ConfigMap with the addresses of S3 and MLflow; likewise.

    Returns:
        The task.
    """
    task.set_container_image(settings.image)
    task.set_caching_options(STEPS[stage].cached and (stage != "ingest" or settings.cache_ingest))
    _set_resources(task, stage, settings)
    # Optional: without keys, S3 is asked with the pod's service account.
    kubernetes.use_secret_as_env(task, secret_name=secret, secret_key_to_env=_SECRET_KEYS, optional=True)
    if stage == "caption":
        # Optional: few runs ask a model, and a server in the cluster may need no key.
        kubernetes.use_secret_as_env(task, "lesiongen-vision-language", _MODEL_KEY, optional=True)
    # Optional: without an endpoint the S3 client means AWS, without an address of MLflow nothing is tracked.
    kubernetes.use_config_map_as_env(task, config_map_name=services, config_map_key_to_env=_SERVICE_KEYS, optional=True)
    # A field of the pod, not a parameter: the cache key of a step must not see the run that it belongs to.
    kubernetes.use_field_path_as_env(task, env_name="LESIONGEN_PIPELINE_RUN", field_path=_RUN_LABEL)
    _set_pod(task, stage, settings)
    return task


def _set_pod(task: Any, stage: str, settings: CompileSettings) -> None:
    """Sets who the pod runs as, where it may run and how its image is pulled."""
    kubernetes.set_security_context(task, run_as_user=IMAGE_USER, run_as_non_root=True)
    if settings.image_pull_policy:
        kubernetes.set_image_pull_policy(task, settings.image_pull_policy)
    if settings.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(settings.image_pull_secrets))
    placements = [settings.placement]
    if settings.is_accelerated(stage):
        placements.append(settings.accelerator_placement)
    for placement in placements:
        for label, value in placement.node_selector.items():
            kubernetes.add_node_selector(task, label, value)
        for toleration in placement.tolerations:
            kubernetes.add_toleration(task, **toleration.model_dump(exclude_none=True))


def _set_resources(task: Any, stage: str, settings: CompileSettings) -> None:
    wanted = settings.resources[stage]
    task.set_cpu_request(wanted.cpu_request).set_cpu_limit(wanted.cpu_limit)
    task.set_memory_request(wanted.memory_request).set_memory_limit(wanted.memory_limit)
    if settings.retry and wanted.retries:
        task.set_retry(wanted.retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="600s")
    kubernetes.set_timeout(task, seconds=round(wanted.timeout_hours * 3600))
    if settings.is_accelerated(stage):
        # Data loaders hand over batches through shared memory; the default of 64 MB is too little.
        kubernetes.empty_dir_mount(
            task, volume_name="shared-memory", mount_path=_SHARED_MEMORY, medium="Memory", size_limit="4Gi"
        )
        if settings.accelerator:
            task.set_accelerator_type(settings.accelerator).set_accelerator_limit(settings.accelerator_count)
