"""Checks of a Kubernetes namespace: permissions, Kubeflow Trainer, and the objects that the steps read."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

from lesiongen.doctor.outcome import Checks, Outcome, failed, ok, skipped, warning
from lesiongen.errors import ServiceError

__all__ = ["cluster_checks"]

_TIMEOUT = (5, 30)
_TRAINER = ("trainer.kubeflow.org", "v1alpha1")
_NEEDED = (
    *(("trainer.kubeflow.org", "trainjobs", "", verb) for verb in ("create", "get", "list", "delete")),
    ("trainer.kubeflow.org", "trainingruntimes", "", "get"),
    ("", "pods", "", "list"),
    ("", "pods", "log", "get"),
    ("", "events", "", "list"),
)
"""What a training on several nodes asks of the cluster: group, resource, subresource, verb."""
_OBJECTS = {
    "lesiongen-storage": ("secret", ("access-key", "secret-key", "mlflow-username", "mlflow-password")),
    "lesiongen-services": ("config_map", ("s3-endpoint", "s3-region", "mlflow-uri")),
}
"""The objects that the steps and the TrainingRuntimes read, their kinds, and the keys that are understood."""
_KINDS = {"secret": "Secret", "config_map": "ConfigMap"}
_WITHOUT = {
    "secret": "The pods ask S3 with their service account, and MLflow without a login.",
    "config_map": "S3 means AWS then, and nothing is tracked.",
}


def cluster_checks(namespace: str | None) -> Checks:
    """Returns the checks of a namespace; all are skipped where no cluster is configured.

    Args:
        namespace: None: that of the current context, or of the pod that this process runs in.
    """
    cluster = _Cluster(namespace)
    checks: dict[str, Callable[[_Cluster], Outcome]] = {
        "kubernetes": _answers,
        "permissions": _permissions,
        "trainer": _trainer,
        **{name: partial(_object, name=name) for name in _OBJECTS},
    }
    return {name: partial(_where_configured, check, cluster) for name, check in checks.items()}


def _where_configured(check: Callable[["_Cluster"], Outcome], cluster: "_Cluster") -> Outcome:
    return check(cluster) if cluster.is_configured else skipped("no cluster is configured (KUBECONFIG)")


@dataclass
class _Cluster:
    """The connection to the cluster of the current context, made when it is first needed."""

    given: str | None

    @cached_property
    def _loaded(self) -> tuple[Any, str] | None:
        from kubernetes import client, config

        settings = client.Configuration()
        try:
            path = os.environ.get("KUBECONFIG") or None  # kubernetes reads it when it is imported
            config.load_kube_config(config_file=path, client_configuration=settings)
            context = config.list_kube_config_contexts(config_file=path)[1]
            return client.ApiClient(settings), context["context"].get("namespace", "default")
        except (config.ConfigException, OSError):
            pass
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            return None
        with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="utf-8") as file:
            return client.ApiClient(settings), file.read().strip()

    @property
    def is_configured(self) -> bool:
        return self._loaded is not None

    @property
    def api(self) -> Any:
        assert self._loaded is not None  # noqa: S101 - asked for before
        return self._loaded[0]

    @property
    def namespace(self) -> str:
        assert self._loaded is not None  # noqa: S101 - asked for before
        return self.given or self._loaded[1]


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    """Names what the cluster's refusal or silence is about."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status == 401:
            hint = "Log in to the cluster again: its credentials are not valid any more."
            raise ServiceError(f"{doing}: the cluster rejects the credentials (401)", hint=hint) from error
        hint = "Ask the administrator of the cluster for access, or check the address of the cluster."
        raise ServiceError(f"{doing}: the cluster answers {error.status} {error.reason}", hint=hint) from error
    except HTTPError as error:
        hint = "Check the address of the cluster in the kubeconfig, the VPN and the network."
        raise ServiceError(f"{doing}: the cluster does not answer ({type(error).__name__})", hint=hint) from error


def _answers(cluster: _Cluster) -> Outcome:
    from kubernetes import client

    with _errors("Its version cannot be read"):
        found = client.VersionApi(cluster.api).get_code(_request_timeout=_TIMEOUT)
    return ok(f"Kubernetes {found.git_version}, namespace {cluster.namespace}")


def _permissions(cluster: _Cluster) -> Outcome:
    missing = [_named(right) for right in _NEEDED if not _may(cluster, right)]
    if missing:
        return failed(
            f"this account may not {', '.join(missing)} in the namespace {cluster.namespace}",
            "Have the role kubeflow-edit bound to the account in this namespace; trainings on several nodes need it.",
        )
    return ok(f"TrainJobs, pods, logs and events of the namespace {cluster.namespace}")


def _named(right: tuple[str, str, str, str]) -> str:
    _, resource, subresource, verb = right
    return f"{verb} {resource}{f'/{subresource}' if subresource else ''}"


def _may(cluster: _Cluster, right: tuple[str, str, str, str]) -> bool:
    from kubernetes import client

    group, resource, subresource, verb = right
    asked = client.V1ResourceAttributes(
        namespace=cluster.namespace, group=group, resource=resource, subresource=subresource or None, verb=verb
    )
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
    with _errors("The permissions cannot be asked for"):
        answer = client.AuthorizationV1Api(cluster.api).create_self_subject_access_review(
            review, _request_timeout=_TIMEOUT
        )
    return bool(answer.status and answer.status.allowed)


def _trainer(cluster: _Cluster) -> Outcome:
    """Looks for Trainer's API and for runtimes that the namespace can use."""
    if find_spec("kubeflow") is None:
        return skipped("trainings on several nodes need the extra cluster: pip install 'lesiongen[cluster]'")
    of_namespace = _runtimes(cluster, "trainingruntimes", cluster.namespace)
    of_cluster = _runtimes(cluster, "clustertrainingruntimes", None)
    if of_namespace is None and of_cluster is None:
        return failed(
            f"the API {'/'.join(_TRAINER)} of Kubeflow Trainer is not there, or may not be read",
            "Have Kubeflow Trainer 2.3 or 2.4 installed, and the role kubeflow-edit bound to the account.",
        )
    names = [*(of_namespace or ()), *(of_cluster or ())]
    if not names:
        return failed(
            f"no TrainingRuntime in the namespace {cluster.namespace}",
            f"Apply the runtimes: kubectl apply -n {cluster.namespace} -k infra/trainer",
        )
    return ok(f"runtimes: {', '.join(names)}")


def _runtimes(cluster: _Cluster, plural: str, namespace: str | None) -> list[str] | None:
    """Returns the names of the runtimes; None where the API is missing or closed to this account."""
    from kubernetes import client

    api = client.CustomObjectsApi(cluster.api)
    with _errors("The runtimes cannot be listed"):
        try:
            found = (
                api.list_cluster_custom_object(*_TRAINER, plural, _request_timeout=_TIMEOUT)
                if namespace is None
                else api.list_namespaced_custom_object(*_TRAINER, namespace, plural, _request_timeout=_TIMEOUT)
            )
        except client.ApiException as error:
            if error.status in (403, 404):
                return None
            raise
    return [str(one["metadata"]["name"]) for one in found["items"]]


def _object(cluster: _Cluster, name: str) -> Outcome:
    """Looks whether an object is there, and at the names of its keys; never at what they hold."""
    from kubernetes import client

    kind, known = _OBJECTS[name]
    label = f"the {_KINDS[kind]} {name} of the namespace {cluster.namespace}"
    read = getattr(client.CoreV1Api(cluster.api), f"read_namespaced_{kind}")
    with _errors(f"{label[:1].upper()}{label[1:]} cannot be read"):
        try:
            keys = sorted((read(name, cluster.namespace, _request_timeout=_TIMEOUT).data or {}).keys())
        except client.ApiException as error:
            if error.status == 403:
                return skipped(f"this account may not read {label}; the pods may")
            if error.status == 404:
                return warning(f"{label} is missing. {_WITHOUT[kind]}", _create(kind, name, cluster.namespace, known))
            raise
    if unknown := sorted(set(keys) - set(known)):
        return warning(f"{label} has keys that nothing reads: {', '.join(unknown)}", f"Known: {', '.join(known)}.")
    return ok(f"{label} has {', '.join(keys) or 'no keys'}")


def _create(kind: str, name: str, namespace: str, keys: Sequence[str]) -> str:
    what = "secret generic" if kind == "secret" else "configmap"
    values = " ".join(f"--from-literal={key}=…" for key in keys)
    return f"kubectl create {what} {name} -n {namespace} {values}"
