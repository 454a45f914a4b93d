"""Profiles: which Kubeflow Pipelines server, in whose namespace, and where its credentials are."""

import logging
import os
import stat
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from lesiongen.config import parse_config, parse_yaml
from lesiongen.endpoints import is_server_address
from lesiongen.errors import UsageError
from lesiongen.redaction import names_secret, register_secret
from lesiongen.storage import open_storage

__all__ = ["LOOPBACK", "PROFILES", "Profile", "load_profile", "profiles_file"]

PROFILES = "LESIONGEN_PROFILES"
_DEFAULT_FILE = Path("~/.config/lesiongen/profiles.yaml")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

logger = logging.getLogger(__name__)


class Profile(BaseModel):
    """One server. Secrets are in files of their own, which the profile names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str | None = None
    """Address of the server: of Kubeflow's gateway with ``/pipeline``, or of the API server itself."""
    port_forward: bool = False
    """Whether ``kubectl port-forward`` leads to the API server, in place of an address."""
    kube_context: str | None = None
    """Context of kubectl for the port-forward and for TrainJobs; the current one by default."""
    kubeflow_namespace: str = "kubeflow"
    """Namespace that the API server runs in, for the port-forward."""
    ui: str | None = None
    """Address of Kubeflow's pages, where it is not ``endpoint``."""
    namespace: str | None = None
    """Namespace of the runs; required in multi-user mode."""
    service_account: str | None = None
    """Kubernetes service account of the steps; the server's default where it is not given."""
    experiment: str = Field(default="lesiongen", min_length=1)
    """Experiment that runs are listed under."""
    pipeline_root: str | None = None
    """Where Kubeflow stores the outputs of the runs' steps, as ``s3://bucket/prefix``; the server's default if not."""
    ca_file: Path | None = None
    """Certificates (PEM) that the server's own is checked with; the public ones by default."""
    token_file: Path | None = None
    """File with a bearer token; it is read again for every request, as the other is."""
    cookie_file: Path | None = None
    """File with the text of a Cookie header, such as ``oauth2_proxy_kubeflow=…``."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds after which a request that is not answered is given up."""

    _name: str = PrivateAttr("default")

    @field_validator("endpoint", "ui")
    @classmethod
    def _an_address(cls, address: str | None) -> str | None:
        if address is None:
            return None
        if not is_server_address(address) or "@" in address or "#" in address or "?" in address:
            raise ValueError("must be http(s)://host[:port][/path], such as https://kubeflow.example/pipeline")
        return address.rstrip("/")

    @field_validator("pipeline_root")
    @classmethod
    def _in_s3(cls, root: str | None) -> str | None:
        if root is not None and not root.startswith("s3://"):
            raise ValueError("must be an s3:// address")
        if root is not None:
            open_storage(root)
        return root

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.endpoint is None) == (not self.port_forward):
            raise ValueError("give either endpoint or port_forward: true")
        if self.token_file and self.cookie_file:
            raise ValueError("give either token_file or cookie_file")
        parts = urlsplit(self.endpoint or "")
        if self.credentials_file and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("endpoint must begin with https://, or everybody on the way reads the credentials")
        return self

    @property
    def option(self) -> str:
        """The option that chooses it, behind a blank; blank for the one that is the default."""
        return "" if self._name == "default" else f" --profile {self._name}"

    @property
    def credentials_file(self) -> Path | None:
        """The file that holds the credentials, where there is one."""
        return self.token_file or self.cookie_file

    def credentials(self) -> str | None:
        """Reads the token or the cookie, and makes it known as a secret.

        Raises:
            UsageError: The file cannot be read, or holds nothing or several lines.
        """
        return None if self.credentials_file is None else _secret(self.credentials_file)

    def check_files(self) -> None:
        """Checks the files that it names; warns of credentials that others on this machine can read.

        Raises:
            UsageError: One does not exist or cannot be read.
        """
        if self.ca_file and not self.ca_file.is_file():
            raise UsageError(f"The ca_file {self.ca_file} does not exist.", hint="Correct it in the profile.")
        self.credentials()
        path = self.credentials_file
        if path is not None and path.stat().st_mode & _OTHERS:
            logger.warning("%s can be read by others: chmod 600 %s", path, path)


def profiles_file() -> Path:
    """Returns the file of the profiles: ``LESIONGEN_PROFILES``, or the one below the home folder."""
    return Path(os.environ.get(PROFILES) or _DEFAULT_FILE).expanduser()


def load_profile(name: str) -> Profile:
    """Reads a profile.

    Raises:
        UsageError: The file is missing, the profile is unknown or invalid, or it holds a secret itself.
    """
    path = profiles_file()
    profiles = _read(path)
    if name not in profiles:
        known = ", ".join(map(str, profiles)) or "none"
        raise UsageError(f"Unknown profile {name!r} in {path}.", hint=f"Profiles: {known}. Choose with --profile.")
    values = profiles[name]
    where = f"{path}, profile {name}"
    if not isinstance(values, dict):
        raise UsageError(f"{where} is not a mapping of fields to values.")
    _refuse_secrets(where, values)
    profile = parse_config(Profile, {field: _from_here(field, value, path) for field, value in values.items()}, where)
    profile._name = name
    return profile


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"The file of the profiles does not exist: {path}",
            hint=f"Write it (docs/reference/profiles.md), or set {PROFILES} to another file.",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    profiles = parse_yaml(text, str(path))
    if not isinstance(profiles, dict):
        raise UsageError(f"{path} is not a mapping of names to profiles.")
    return profiles


def _refuse_secrets(where: str, values: dict[str, Any]) -> None:
    for field, value in values.items():
        if field not in Profile.model_fields and names_secret(str(field).lower()):
            register_secret(str(value))
            raise UsageError(
                f"{where} holds a secret itself ({field}).",
                hint="Write it to a file that only you can read, and name that: token_file or cookie_file.",
            )


def _from_here(field: str, value: Any, path: Path) -> Any:
    """Returns the value of a field; the path of a file is taken from the folder of the profiles."""
    if str(field).endswith("_file") and isinstance(value, str):
        return path.parent / Path(value).expanduser()
    return value


def _secret(path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text"
        raise UsageError(f"The credentials in {path} cannot be read: {reason}") from error
    if not secret or not secret.isprintable():
        what = "several lines or control characters" if secret else "nothing"
        raise UsageError(f"The file of the credentials, {path}, holds {what}.", hint="Write one line.")
    register_secret(secret)
    for part in secret.split(";"):
        register_secret(part.partition("=")[2].strip())
    return secret
