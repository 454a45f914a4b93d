"""What closes the servers to everybody but the owner of their home: keys, a certificate and MLflow's login.

Every user of the machine can reach a port on loopback, and so can a page in a browser. SeaweedFS leaves all but its S3
port open. Its parts authenticate to one another by keys and a certificate, which are new at every start.
"""

import secrets
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lesiongen.stack.home import MLFLOW_USER, Credentials, Home, write_private

__all__ = ["secure_mlflow", "secure_s3"]

SIGNED = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
GRPC_PARTS = ("master", "volume", "filer", "s3", "admin", "worker", "mq", "msg_broker", "msg_agent", "client")
# RFC 5280's date for a certificate that does not expire; the key is replaced at every start.
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# Names without a folder: the servers' working directory is the home.
CERTIFICATE, KEY = "grpc.crt", "grpc.key"
# A password is hashed with scrypt: 150 ms of CPU for each request, if it were not remembered.
REMEMBERED_SECONDS = 86400


def secure_s3(home: Home) -> None:
    """Writes SeaweedFS's security settings: signed requests between its parts, and mutual TLS for gRPC."""
    certificate, key = _certificate()
    write_private(home.path / CERTIFICATE, certificate)
    write_private(home.path / KEY, key)
    settings = ["[filer.expose_directory_metadata]", "enabled = false"]
    for section in SIGNED:
        settings += [f"[{section}]", f'key = "{secrets.token_hex(32)}"']
    settings += ["[grpc]", f'ca = "{CERTIFICATE}"']
    for part in GRPC_PARTS:
        settings += [f"[grpc.{part}]", f'cert = "{CERTIFICATE}"', f'key = "{KEY}"']
    write_private(home.path / "security.toml", "\n".join([*settings, ""]))


def secure_mlflow(home: Home, keys: Credentials) -> dict[str, str]:
    """Writes the settings of MLflow's login, and returns the variables by which the server finds them."""
    settings = [
        "[mlflow]",
        "default_permission = NO_PERMISSIONS",
        f"database_uri = sqlite:///{home.logins.name}",
        f"admin_username = {MLFLOW_USER}",
        f"admin_password = {keys.mlflow_password}",
        f"auth_cache_ttl_seconds = {REMEMBERED_SECONDS}",
    ]
    path = home.path / "mlflow-auth.ini"
    write_private(path, "\n".join([*settings, ""]))
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(path),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
    }


def _certificate() -> tuple[str, str]:
    """Returns a certificate and its private key, both as PEM."""
    # One certificate for all parts, signed by itself: whoever can show it can read the home.
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lesiongen")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(NEVER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    unencrypted = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted)
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()
