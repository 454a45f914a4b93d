"""The connection to a Kubeflow Pipelines server, and what its refusals mean.

It uses the generated client that ``kfp.Client`` is built on (``kfp_server_api``): ``kfp.Client`` itself takes the
namespace and the cookie that another program has left in the home folder, sends requests without a time limit, and
prints to standard output.
"""

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import kfp_server_api
import urllib3
from kfp_server_api import ApiException

from lesiongen.endpoints import s3_proxy_hint
from lesiongen.errors import LesionGenError, ServiceError, Unavailable, UsageError
from pipelines.kubeflow.forwarding import forwarded
from pipelines.kubeflow.profile import LOOPBACK, Profile

__all__ = ["NotFound", "NotSent", "Refused", "Server", "ServerFault", "Unauthorized", "connect", "equals"]

_LONGEST_MESSAGE = 300
_LONGEST_LOG = 64 * 1024**2
_EQUALS = 1
"""``equals`` among the operations of the server's filters."""


class NotFound(ServiceError):
    """The server knows no object of this id or name."""


class Refused(ServiceError):
    """The server understood the request, and refuses it."""


class Unauthorized(ServiceError):
    """The server rejects the credentials, or none were sent."""


class ServerFault(Unavailable):
    """The server answers that it cannot do its work."""


class NotSent(Unavailable):
    """The server cannot be reached: it has not received the request."""


class Server:
    """A Kubeflow Pipelines server, of version 2.15 to 2.17.

    Args:
        profile: How it is reached.
        address: Its address; that of the profile, or of the port-forward.
    """

    def __init__(self, profile: Profile, address: str) -> None:
        self.profile, self.address = profile, address
        settings = kfp_server_api.Configuration(host=address)
        settings.retries = False  # nor are redirects followed then
        settings.ssl_ca_cert = str(profile.ca_file) if profile.ca_file else None
        settings.proxy = _proxy_to(address)
        settings.api_key_prefix["authorization"] = "Bearer"
        self._client = kfp_server_api.ApiClient(settings)
        self.experiments = kfp_server_api.ExperimentServiceApi(self._client)
        self.pipelines = kfp_server_api.PipelineServiceApi(self._client)
        self.uploads = kfp_server_api.PipelineUploadServiceApi(self._client)
        self.recurring_runs = kfp_server_api.RecurringRunServiceApi(self._client)
        self.runs = kfp_server_api.RunServiceApi(self._client)
        self.namespace: str | None = None
        """Namespace of the requests; None in single-user mode, which has none."""
        self._credentials: str | None = None
        self._has_answered = False
        """Whether it has answered as Kubeflow Pipelines does."""

    def ask(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Sends one request, and returns the object of the API that the server answers with.

        Args:
            method: The method of one of the generated services.
            **arguments: Its arguments.

        Raises:
            Unavailable: The server does not answer, or not in time, or with an error of its own; `NotSent` if it
                cannot be reached.
            NotFound: It knows no such object.
            Refused: It refuses the request.
            Unauthorized: It rejects the credentials, or shows a login page after it has accepted them.
            ServiceError: It is not trusted, or is not a Kubeflow Pipelines server.
        """
        full = getattr(method.__self__, f"{method.__name__}_with_http_info")  # type: ignore[attr-defined]
        answer, _, headers = self._send(lambda timeout: full(**arguments, _request_timeout=timeout))
        if not str(headers.get("content-type", "")).startswith("application/json"):
            raise self._not_kubeflow()
        return answer

    def text(self, path: str, **query: str) -> str:
        """Reads a text that the API has no object for, such as a log; of a very long one the beginning.

        Args:
            path: Path below the address of the server.
            **query: Parameters of the query.

        Raises:
            NotFound: The text does not exist, or the server answers with a page of HTML.
            ServiceError: As `ask`.
        """
        response = self._send(
            lambda timeout: self._client.call_api(
                path,
                "GET",
                query_params=list(query.items()),
                auth_settings=["Bearer"],
                _preload_content=False,
                _request_timeout=timeout,
            )
        )
        try:
            if str(response.headers.get("content-type", "")).startswith("text/html"):
                raise NotFound(f"{self.address} has a web page at {path}.")
            return str(response.read(_LONGEST_LOG).decode("utf-8", "replace"))
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error
        finally:
            response.close()

    def pages(self, method: Callable[..., Any], items: str, **arguments: Any) -> Iterator[Any]:
        """Yields the objects of a list, page by page."""
        token = ""
        while True:
            page = self.ask(method, page_token=token, page_size=100, **arguments)
            yield from getattr(page, items) or ()
            if not (token := page.next_page_token or ""):
                return

    def scope(self) -> dict[str, str]:
        """Returns the namespace as an argument of a request, where there is one."""
        return {"namespace": self.namespace} if self.namespace else {}

    def experiment_id(self, *, create: bool = False) -> str | None:
        """Returns the id of the profile's experiment; None if it does not exist yet.

        Args:
            create: Whether to create it then.
        """
        name = self.profile.experiment
        listing = self.experiments.experiment_service_list_experiments
        for found in self.pages(listing, "experiments", filter=equals("display_name", name), **self.scope()):
            return str(found.experiment_id)
        if not create:
            return None
        wanted = kfp_server_api.V2beta1Experiment(display_name=name, **self.scope())
        created = self.ask(self.experiments.experiment_service_create_experiment, experiment=wanted)
        return str(created.experiment_id)

    def page(self, path: str) -> str:
        """Returns the address of one of Kubeflow's pages."""
        return f"{self.profile.ui or self.address}/#/{path}"

    def close(self) -> None:
        """Closes the connections."""
        self._client.rest_client.pool_manager.clear()

    def check(self) -> None:
        """Asks the server whether it is one, and whether it runs in multi-user mode.

        Raises:
            ServiceError: It does not answer as it should.
            UsageError: It runs in multi-user mode, and the profile names no namespace.
        """
        health = self.ask(kfp_server_api.HealthzServiceApi(self._client).healthz_service_get_healthz)
        self._has_answered = True
        if not health.multi_user:
            return
        if self.profile.namespace is None:
            raise UsageError(
                f"{self.address} runs in multi-user mode, and the profile names no namespace.",
                hint="Write namespace: … into the profile.",
            )
        self.namespace = self.profile.namespace

    def _send(self, request: Callable[[tuple[float, float]], Any]) -> Any:
        timeout = self.profile.timeout
        self._read_credentials()
        try:
            return request((timeout, timeout))
        except ApiException as error:
            raise self._refusal(error) from error
        except AttributeError as error:
            # Of a failure before the answer the generated client tries to decode the body that there is none of.
            if isinstance(error.__context__, ApiException):
                raise self._refusal(error.__context__) from error
            raise
        except urllib3.exceptions.LocationValueError as error:
            raise UsageError(f"The endpoint {self.address} is not an address: {error}") from error
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error

    def _read_credentials(self) -> None:
        """Reads the credentials again: tokens and cookies are renewed while a command waits."""
        try:
            self._credentials = self.profile.credentials()
        except UsageError:
            if self._credentials is None:
                raise
            # The file is being written: until then the last ones are used, and rejected if they have expired.
        if self.profile.token_file:
            self._client.configuration.api_key["authorization"] = self._credentials
        elif self.profile.cookie_file:
            self._client.cookie = self._credentials

    def _unreachable(self, error: urllib3.exceptions.HTTPError) -> LesionGenError:
        kinds = urllib3.exceptions
        if isinstance(error, kinds.NameResolutionError):
            return NotSent(
                f"The host of {self.address} is unknown.", hint="Check the endpoint of the profile, and the network."
            )
        if isinstance(error, kinds.NewConnectionError):
            reason = str(error).rpartition("] ")[2]  # behind the number of the error
            return NotSent(
                f"No server answers at {self.address}: {reason}.",
                hint="Check the endpoint of the profile, and whether its port-forward runs.",
            )
        if isinstance(error, kinds.TimeoutError):
            return Unavailable(
                f"{self.address} did not answer within {self.profile.timeout:g} s.",
                hint="Try again later, or raise timeout in the profile.",
            )
        hint = s3_proxy_hint(self.address) or "Try again."
        return Unavailable(f"The connection to {self.address} broke off.", hint=hint)

    def _refusal(self, error: ApiException) -> LesionGenError:
        status, words = error.status, _words(error)
        # A redirect is not followed: credentials are for this server alone. Proxies show login pages with 403 too.
        if status in range(300, 400) or (status == 403 and str(error.body).lstrip().startswith("<")):
            return self._not_kubeflow()
        if status == 401:
            return Unauthorized(f"{self.address} rejected the credentials (401){words}", hint=self._renewal())
        if status == 403:
            where = f" in the namespace {self.namespace}" if self.namespace else ""
            return Refused(
                f"{self.address}: permission denied{where} (403){words}",
                hint="Ask for the role kubeflow-edit there, or choose another profile.",
            )
        if status == 404:
            return NotFound(
                f"{self.address}: not found (404){words}",
                hint="Check it, and the endpoint of the profile: behind Kubeflow's gateway it ends with /pipeline.",
            )
        if not status:
            return ServiceError(
                f"The certificate of {self.address} cannot be verified: {str(error.reason).splitlines()[-1]}",
                hint="Name the certificates of its authority as ca_file in the profile.",
            )
        if status >= 500 or status == 429:
            return ServerFault(
                f"{self.address} is {'overloaded' if status == 429 else 'failing'} ({status}){words}",
                hint="Try again later; the reason is in the log of the deployment ml-pipeline.",
            )
        return Refused(f"{self.address} rejected the request ({status}){words}", hint="Correct it, then try again.")

    def _renewal(self) -> str:
        if path := self.profile.credentials_file:
            return f"Write a valid token or cookie to {path}."
        return "Name a token_file or a cookie_file in the profile."

    def _not_kubeflow(self) -> ServiceError:
        if self._has_answered and self.profile.credentials_file:
            return Unauthorized(
                f"{self.address} answered with a web page: the credentials have probably expired.", hint=self._renewal()
            )
        return ServiceError(
            f"{self.address} answered with a web page, not as Kubeflow Pipelines does.",
            hint=f"Check the endpoint; a login page means that credentials are missing. {self._renewal()}",
        )


@contextmanager
def connect(profile: Profile) -> Iterator[Server]:
    """Connects to the server of a profile for the time of a block.

    Raises:
        UsageError: The credentials cannot be read, or the profile lacks a namespace.
        ServiceError: The server does not answer as it should.
    """
    profile.check_files()
    with forwarded(profile) as address:
        server = Server(profile, address)
        try:
            server.check()
            yield server
        finally:
            server.close()


def equals(field: str, value: str) -> str:
    """Returns the filter of a list that keeps the objects whose field has a value."""
    return json.dumps({"predicates": [{"operation": _EQUALS, "key": field, "stringValue": value}]})


def _proxy_to(address: str) -> str | None:
    """Returns the proxy that the environment puts before a server."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if host in LOOPBACK or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _words(error: ApiException) -> str:
    """Returns what the server says about a refusal, on one line, behind a colon; a full stop where it says nothing."""
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return "."
    said = str(body.get("message") or body.get("error_message") or "") if isinstance(body, dict) else ""
    said = " ".join(said.split())
    return f": {said[:_LONGEST_MESSAGE]}" if said else "."
