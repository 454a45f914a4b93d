"""Checks of a Kubernetes namespace: permissions, Kubeflow Trainer, and the objects that the steps read."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from lesiongen.doctor.outcome import Checks, Outcome, failed, ok, skipped, warning
from lesiongen.errors import ServiceError
from lesiongen.launch.cluster_connection import connection, server_message
from lesiongen.launch.trainjob_sdk import sdk_is_installed

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
    "config_map": "Without it, S3 is AWS and nothing is tracked in MLflow.",
}
_NO_CLUSTER = "no cluster is configured: KUBECONFIG is not set, and ~/.kube/config does not exist"
_ROLES = "the Role lesiongen-trainjobs (infra/kubernetes) or the role kubeflow-edit"
_NO_SDK = "trainings on several nodes need the extra cluster: pip install '.[cluster]' in a checkout of LesionGen"


def cluster_checks(namespace: str | None, context: str | None = None) -> Checks:
    """Returns the checks of a namespace; all are skipped where no cluster is configured.

    Args:
        namespace: None: that of the context, or of the pod that this process runs in.
        context: Context of kubectl; None: the current one.
    """
    cluster = _Cluster(namespace, context)
    checks: dict[str, Callable[[_Cluster], Outcome]] = {
        "kubernetes": _answers,
        "permissions": _permissions,
        "trainer": _trainer,
        **{name: partial(_object, name=name) for name in _OBJECTS},
    }
    return {name: partial(_where_configured, check, cluster) for name, check in checks.items()}


def _where_configured(check: Callable[["_Cluster"], Outcome], cluster: "_Cluster") -> Outcome:
    return check(cluster) if cluster.is_configured else skipped(_NO_CLUSTER)


@dataclass
class _Cluster:
    """The connection to the cluster, made when it is first needed."""

    given: str | None
    context: str | None

    @cached_property
    def _loaded(self) -> tuple[Any, str] | None:
        from kubernetes import client

        found = connection(self.context)
        return None if found is None else (client.ApiClient(found.settings), found.namespace)

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
        raise ServiceError(f"{doing}: the cluster answers: {server_message(error)}", hint=hint) from error
    except HTTPError as error:
        hint = "Check the address of the cluster in the kubeconfig, the VPN and the network."
        raise ServiceError(f"{doing}: the cluster does not answer ({type(error).__name__})", hint=hint) from error


def _answers(cluster: _Cluster) -> Outcome:
    from kubernetes import client

    with _errors("Its version cannot be read"):
        found = client.VersionApi(cluster.api).get_code(_request_timeout=_TIMEOUT)
    return ok(f"Kubernetes {found.git_version}, namespace {cluster.namespace}")


def _permissions(cluster: _Cluster) -> Outcome:
    """Asks for the rights of a training on several nodes, which nothing else needs."""
    if not sdk_is_installed():
        return skipped(_NO_SDK)
    missing = [_named(right) for right in _NEEDED if not _may(cluster, right)]
    if missing:
        return warning(
            f"this account may not {', '.join(missing)} in the namespace {cluster.namespace}",
            f"For trainings on several nodes, have {_ROLES} bound to the account in this namespace.",
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
    if not sdk_is_installed():
        return skipped(_NO_SDK)
    of_namespace = _runtimes(cluster, "trainingruntimes", cluster.namespace)
    of_cluster = _runtimes(cluster, "clustertrainingruntimes", None)
    if of_namespace == of_cluster == 404:
        return failed(
            f"the API {'/'.join(_TRAINER)} of Kubeflow Trainer is not there",
            "Have Kubeflow Trainer 2.3 or 2.4 installed.",
        )
    names = [name for found in (of_namespace, of_cluster) if not isinstance(found, int) for name in found]
    if not names and of_namespace == 403:  # the Role lesiongen-trainjobs reads a runtime by its name
        return skipped(f"this account may not list the TrainingRuntimes of the namespace {cluster.namespace}")
    if not names:
        return failed(
            f"no TrainingRuntime in the namespace {cluster.namespace}",
            f"Apply the runtimes: kubectl apply -n {cluster.namespace} -k infra/trainer",
        )
    return ok(f"runtimes: {', '.join(names)}")


def _runtimes(cluster: _Cluster, plural: str, namespace: str | None) -> list[str] | int:
    """Returns the names of the runtimes; 404 where the API is missing, 403 where this account may not list them."""
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
                return int(error.status)
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
