"""The cluster that runs TrainJobs, through the ``kubeflow`` SDK, with errors that say what to do.

The SDK connects and reads the runtime. TrainJobs are created, read and deleted by the ``CustomObjectsApi`` that it
holds: release 0.5 cannot set the processes of a node, hides the status of an answer in a RuntimeError, and its view of
a TrainJob has neither conditions nor reasons. Pods and events are read as the server sends them, for the same reason;
its way to follow a log ends with the connection.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kubeflow.common.types import KubernetesBackendConfig
from kubeflow.trainer import TrainerClient
from kubeflow.trainer.constants import constants
from kubeflow.trainer.types.types import Runtime
from kubernetes.client import ApiException, V1DeleteOptions, V1Preconditions
from urllib3.exceptions import HTTPError

from lesiongen.errors import LesionGenError, ServiceError, UsageError
from lesiongen.launch.cluster_connection import connection, server_message

__all__ = ["AlreadyThere", "Cluster", "Denied", "NoAnswer", "check_devices"]

_TIMEOUT = (5, 30)
_LOG_TIMEOUT = (5, 120)
"""Seconds to connect and between two pieces of an answer."""
_CLUSTER_RUNTIMES = constants.CLUSTER_TRAINING_RUNTIME_PLURAL
_NAME_OF_JOBS = (constants.GROUP, constants.VERSION)


_RIGHTS = (
    "Have the role kubeflow-edit, or lesiongen-trainjobs of infra/kubernetes, bound to this account in the namespace "
    "of the TrainJob (--namespace; in a pipeline --finetune-namespace)."
)


class NoAnswer(ServiceError):
    """The cluster does not answer now; it may in a while."""


class Denied(ServiceError):
    """The cluster does not accept the credentials, or the account lacks the rights."""


class AlreadyThere(LesionGenError):
    """There is a TrainJob of this name already."""


class Cluster:
    """One namespace of a cluster.

    Args:
        namespace: None: that of the context, or of the pod that this process runs in.
        context: Context of kubectl; None: the current one.

    Raises:
        UsageError: No cluster is configured, or the kubeconfig cannot be loaded.
    """

    def __init__(self, namespace: str | None, context: str | None = None) -> None:
        found = connection(context)
        if found is None:
            hint = "Set KUBECONFIG, or run this in a pod with a service account."
            raise UsageError("No cluster is configured", hint=hint)
        configuration = KubernetesBackendConfig(
            namespace=namespace or found.namespace, client_configuration=found.settings
        )
        backend = TrainerClient(configuration).backend
        self._backend, self._jobs, self._core = backend, backend.custom_api, backend.core_api
        self.namespace: str = backend.namespace

    def runtime(self, name: str) -> Runtime:
        """Returns a TrainingRuntime of the namespace, or the ClusterTrainingRuntime of this name.

        Raises:
            UsageError: The runtime does not exist, or cannot be used.
        """
        try:
            return self._backend.get_runtime(name)
        except TimeoutError as error:
            raise NoAnswer(f"The cluster does not answer: {error}") from error
        except Exception as error:  # the SDK raises RuntimeError and bare Exceptions alike
            cause = error.__cause__
            if isinstance(cause, ApiException) and cause.status == 403 and _CLUSTER_RUNTIMES in server_message(cause):
                raise UsageError(  # read only where the namespace has none of this name
                    f"Unknown TrainingRuntime {name} in the namespace {self.namespace}, and this account may not "
                    "read ClusterTrainingRuntimes",
                    hint=f"Apply the runtimes with: kubectl apply -n {self.namespace} -k infra/trainer",
                ) from error
            if isinstance(cause, HTTPError) or (isinstance(cause, ApiException) and cause.status != 404):
                with _named(f"The runtime {name} cannot be read"):
                    raise cause from error
            raise UsageError(
                f"The runtime {name} cannot be used in the namespace {self.namespace}: "
                f"{server_message(cause or error)}",
                hint="Apply infra/trainer to the namespace, or name another runtime.",
            ) from error

    def create(self, job: Mapping[str, Any]) -> None:
        """Creates a TrainJob.

        Raises:
            AlreadyThere: There is one of this name.
            LesionGenError: The cluster refuses it, or does not answer.
        """
        with _named(f"TrainJob {job['metadata']['name']} cannot be created in the namespace {self.namespace}"):
            self._jobs.create_namespaced_custom_object(
                *_NAME_OF_JOBS, self.namespace, constants.TRAINJOB_PLURAL, job, _request_timeout=_TIMEOUT
            )

    def job(self, name: str) -> dict[str, Any] | None:
        """Returns a TrainJob as the server holds it; None if it does not exist."""
        try:
            with _named(f"TrainJob {name} cannot be read"):
                found: dict[str, Any] = self._jobs.get_namespaced_custom_object(
                    *_NAME_OF_JOBS, self.namespace, constants.TRAINJOB_PLURAL, name, _request_timeout=_TIMEOUT
                )
                return found
        except LesionGenError as error:
            if _status(error) == 404:
                return None
            raise

    def jobs(self, label: str) -> list[dict[str, Any]]:
        """Returns the TrainJobs with a label (``key=value``)."""
        with _named(f"The TrainJobs of the namespace {self.namespace} cannot be listed"):
            found: list[dict[str, Any]] = self._jobs.list_namespaced_custom_object(
                *_NAME_OF_JOBS, self.namespace, constants.TRAINJOB_PLURAL,
                label_selector=label, _request_timeout=_TIMEOUT,
            )["items"]  # fmt: skip
            return found

    def delete(self, name: str, uid: str | None = None) -> None:
        """Begins to delete a TrainJob, its pods first; a missing one is passed over.

        Args:
            name: Its name.
            uid: The one that is meant, of several that have had the name; another stays.
        """
        options = V1DeleteOptions(
            propagation_policy="Foreground", preconditions=V1Preconditions(uid=uid) if uid else None
        )
        try:
            with _named(f"TrainJob {name} cannot be deleted"):
                self._jobs.delete_namespaced_custom_object(
                    *_NAME_OF_JOBS, self.namespace, constants.TRAINJOB_PLURAL, name,
                    body=options, _request_timeout=_TIMEOUT,
                )  # fmt: skip
        except LesionGenError as error:
            if _status(error) != 404 and not (uid and _status(error) == 409):
                raise

    def pods(self, name: str) -> list[dict[str, Any]]:
        """Returns the pods of a TrainJob."""
        selector = f"{constants.JOBSET_NAME_LABEL}={name}"
        with _named(f"The pods of TrainJob {name} cannot be listed"):
            answer = self._core.list_namespaced_pod(
                self.namespace, label_selector=selector, _preload_content=False, _request_timeout=_TIMEOUT
            )
            pods: list[dict[str, Any]] = json.loads(answer.data)["items"]
            return sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))

    def events(self) -> list[dict[str, Any]]:
        """Returns the events of the namespace."""
        with _named(f"The events of the namespace {self.namespace} cannot be listed"):
            answer = self._core.list_namespaced_event(self.namespace, _preload_content=False, _request_timeout=_TIMEOUT)
            events: list[dict[str, Any]] = json.loads(answer.data)["items"]
            return events

    def log(self, pod: str, *, follow: bool) -> Iterator[bytes]:
        """Yields the log of a pod from its beginning, in pieces; every line begins with its time (RFC 3339).

        Lines that the node has rotated out are missing.

        Raises:
            LesionGenError: It cannot be read, or the connection has broken.
        """
        with _named(f"The log of pod {pod} cannot be read"):
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=constants.NODE, follow=follow, timestamps=True, _preload_content=False,
                _request_timeout=_LOG_TIMEOUT,
            )  # fmt: skip
            try:
                yield from answer.stream(decode_content=False)
            finally:
                answer.close()


def check_devices(runtime: Runtime, each: int) -> None:
    """Refuses more processes than a node has GPUs.

    Raises:
        UsageError: The runtime's nodes have fewer.
    """
    trainer = runtime.trainer
    if trainer.device != "gpu" or not trainer.device_count.isdigit():
        return
    gpus = int(trainer.device_count) // trainer.num_nodes  # the SDK counts those of all nodes
    if gpus < each:
        raise UsageError(
            f"{each} processes of a node need a GPU each; the runtime {runtime.name} gives it {gpus}",
            hint="Raise nvidia.com/gpu in the runtime, or take more nodes.",
        )


@contextmanager
def _named(doing: str) -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise _refused(doing, error) from error
    except HTTPError as error:
        hint = "Check the address of the cluster and the network; then run the same command again."
        raise NoAnswer(f"{doing}: the cluster does not answer ({error})", hint=hint) from error


def _refused(doing: str, error: ApiException) -> LesionGenError:
    message = f"{doing}: {server_message(error)}"
    if error.status == 409:
        return AlreadyThere(message)
    if error.status == 401:
        return Denied(message, hint="Log in to the cluster again: its credentials are not valid any more.")
    if error.status == 403 and "quota" in message:
        hint = "Ask for fewer nodes or resources, wait until other jobs have ended, or have the quota raised."
        return ServiceError(message, hint=hint)
    if error.status == 403:
        return Denied(message, hint=_RIGHTS)
    if error.status == 404:
        return ServiceError(message, hint="Check the namespace, and that Kubeflow Trainer 2.3 or newer is installed.")
    if error.status == 429 or error.status >= 500:
        return NoAnswer(message, hint="Run the same command again when the cluster answers.")
    return ServiceError(
        message, hint="The cluster's Kubeflow Trainer may be of another version: 2.3 and 2.4 are supported."
    )


def _status(error: LesionGenError) -> int | None:
    return getattr(error.__cause__, "status", None)
