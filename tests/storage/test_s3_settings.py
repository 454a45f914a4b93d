"""Settings of S3: wrong ones are named before anything is sent, and servers of other kinds are told apart."""

import datetime
import http.server
import ipaddress
import ssl
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lesiongen.errors import StorageError, Unreachable, UsageError
from lesiongen.storage import open_storage, parts, s3

NO_TRAILER = (
    b"<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not "
    b"implemented: X-Amz-Trailer</Message></Error>"
)
XML = '<?xml version="1.0"?><{name}><UploadId>u</UploadId><ETag>"{etag}"</ETag></{name}>'


class Server(http.server.ThreadingHTTPServer):
    """A server that keeps what it is sent as it comes, as one does that knows no framing of checksums."""

    daemon_threads = True

    def __init__(self, answer=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.objects, self.seen = answer, {}, []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        data = self.body()
        self.server.objects[self.path.partition("?")[0]] = data
        self.reply(b"", {"ETag": '"0123456789abcdef0123456789abcdef"'})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = "InitiateMultipartUploadResult" if "uploads" in self.path else "CompleteMultipartUploadResult"
        self.reply(XML.format(name=name, etag="x").encode())

    def do_GET(self):
        data = self.server.objects.get(self.path.partition("?")[0])
        if data is None:
            self.reply(b"<Error><Code>NoSuchKey</Code></Error>", status=404)
        elif "Range" in self.headers:
            end = int(self.headers["Range"].rpartition("-")[2])
            self.reply(data[: end + 1], {"Content-Range": f"bytes 0-{end}/{len(data)}"}, 206)
        else:
            self.reply(data)

    do_HEAD = do_DELETE = do_GET

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while not pieces or pieces[-1]:  # of HTTP itself; within them are those of S3
            pieces.append(self.rfile.read(int(self.rfile.readline(), 16)))
            self.rfile.readline()
        return b"".join(pieces)

    def reply(self, body, headers=None, status=200):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        status, body = self.server.answer or (status, body)
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


@contextmanager
def serving(server, certificate=None):
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def certificate(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    builder = builder.add_extension(address, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "server.pem"
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(pem) + private)
    return path


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    monkeypatch.setattr(s3, "_checked", set())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3tOfThisTest")


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize(
    "address",
    ["minio.example:9000", "minio.example", "htps://minio.example", "http://", "http://host:port", "http://a b:9000",
     "http://minio.example:99999", "https://minio.example?x=1", "//minio.example:9000"],
)  # fmt: skip
def test_an_endpoint_that_is_no_address_is_named(monkeypatch, variable, address):
    monkeypatch.setenv(variable, address)
    with pytest.raises(UsageError, match=f"{variable} = .* is not the address of a server") as refused:
        open_storage("s3://bucket/x").exists("a")
    assert "https://host:port" in str(refused.value)


@pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
@pytest.mark.parametrize("region", ["EU (Frankfurt)", "eu central 1", "123", "-eu-", "eu_central_1"])
def test_a_region_that_is_none_is_named(monkeypatch, variable, region):
    monkeypatch.setenv(variable, region)
    with pytest.raises(UsageError, match=f"{variable} = .* is not the code of a region") as refused:
        open_storage("s3://bucket/x").exists("a")
    assert "eu-central-1" in str(refused.value)


def test_settings_that_boto_refuses_do_not_blame_the_server(monkeypatch):
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "never")
    with pytest.raises(StorageError, match="the S3 settings cannot be used") as refused:
        open_storage("s3://bucket/x").exists("a")
    assert not isinstance(refused.value, Unreachable)


def test_a_server_without_checksums_after_the_data_gets_a_hint(monkeypatch):
    with serving(Server(answer=(501, NO_TRAILER))) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(StorageError, match="AWS_REQUEST_CHECKSUM_CALCULATION=when_required"):
            open_storage("s3://bucket/x").write_bytes("a", b"data")


@pytest.mark.parametrize("way", ["bytes", "file"])
def test_a_server_that_stores_the_framing_is_found_out_at_the_first_object(monkeypatch, certificate, tmp_path, way):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    (tmp_path / "file").write_bytes(b"data")
    with serving(Server(), certificate) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        storage = open_storage("s3://bucket/x")

        def write():
            storage.write_bytes("a", b"data") if way == "bytes" else storage.upload_file(tmp_path / "file", "a")

        with pytest.raises(StorageError, match="stored other bytes than it was sent, in s3://bucket/x/a") as refused:
            write()
        assert "AWS_REQUEST_CHECKSUM_CALCULATION=when_required" in str(refused.value)
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        write()
        assert storage.read_if_there("a") is not None


def test_one_object_is_read_back_in_a_process_and_bucket(monkeypatch):
    with serving(server := Server()) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        for key in "abc":
            open_storage("s3://bucket/x").write_bytes(key, b"data")
        open_storage("s3://other/x").write_bytes("a", b"data")
    assert [path for command, path, _ in server.seen if command == "GET"] == ["/bucket/x/a", "/other/x/a"]


def test_parts_are_sent_without_checksums_where_none_are_wanted(monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "part_bytes", lambda size: 4)
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    (tmp_path / "file").write_bytes(b"12345678")
    with serving(server := Server()) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        open_storage("s3://bucket/x").upload_file(tmp_path / "file", "a")
    sent = [headers for command, path, headers in server.seen if command in ("PUT", "POST")]
    assert len(sent) == 4
    assert not [name for headers in sent for name in headers if "checksum" in name.lower() or "trailer" in name.lower()]


def test_an_endpoint_with_a_path_keeps_it(monkeypatch):
    with serving(server := Server()) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{endpoint}/store")
        storage = open_storage("s3://bucket/x")
        storage.write_bytes("a", b"data")
        assert storage.read_bytes("a") == b"data"
    assert {path for _, path, _ in server.seen} == {"/store/bucket/x/a"}


def test_the_token_of_a_session_is_sent_and_a_profile_is_read(monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "credentials").write_text(
        "[lab]\naws_access_key_id = OFLAB\naws_secret_access_key = hidden-away-1\naws_session_token = token-of-lab\n"
    )
    (tmp_path / "config").write_text("[profile lab]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "lab")
    with serving(server := Server()) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        open_storage("s3://bucket/x").write_bytes("a", b"data")
    _, _, headers = server.seen[0]
    assert headers["X-Amz-Security-Token"] == "token-of-lab"
    assert "Credential=OFLAB/" in headers["Authorization"]
    assert "/eu-west-3/s3/" in headers["Authorization"]
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageError, match="the S3 credentials cannot be used .*nobody"):
        open_storage("s3://bucket/x").exists("a")


def test_the_bucket_and_no_object_is_named_where_the_bucket_is_missing(stack_environment, monkeypatch, keys):
    for name, value in stack_environment.items():
        monkeypatch.setenv(name, value)
    storage = open_storage("s3://no-such-bucket/prefix")
    with (
        pytest.raises(StorageError, match="^The bucket 'no-such-bucket' does not exist at http") as refused,
        storage.claiming(),
    ):
        pass
    assert "_claims" not in str(refused.value)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_a_proxy_that_does_not_answer_is_named(monkeypatch, unused_endpoint, variable):
    proxy = unused_endpoint.replace("http://", "http://me:pr0xy-passw0rd@")
    monkeypatch.setenv(variable, proxy)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example:9000")
    with pytest.raises(Unreachable, match=rf"through the proxy 127\.0\.0\.1:\d+ \({variable}\)") as refused:
        open_storage("s3://bucket/x").exists("a")
    assert "pr0xy" not in str(refused.value)
    assert "add s3.example to NO_PROXY" in str(refused.value)
    assert "lesiongen" not in str(refused.value)


def test_a_proxy_whose_server_does_not_answer_is_named(monkeypatch):
    with serving(Server(answer=(503, b""))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example:9000")
        with pytest.raises(Unreachable, match=r"through the proxy .* \(HTTP_PROXY\)"):
            open_storage("s3://bucket/x").read_bytes("a")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (407, "", "the proxy before the S3 server .* asks for a password"),
        (403, "", "refused the access key"),
        (403, "AccessDenied", "refused the access key"),
        (404, "NoSuchBucket", "The bucket 'bucket' does not exist"),
    ],
)
def test_a_refusal_through_a_proxy_names_the_proxy_too(monkeypatch, status, code, words):
    body = f"<Error><Code>{code}</Code></Error>".encode() if code else b"<html>no</html>"
    with serving(Server(answer=(status, body))) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy)
        with pytest.raises(StorageError) as direct:
            open_storage("s3://bucket/x").read_bytes("a")
        assert "NO_PROXY" not in str(direct.value)
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3.example:9000")
        with pytest.raises(StorageError, match=words) as refused:
            open_storage("s3://bucket/x").read_bytes("a")
    assert "(HTTP_PROXY): check it, or add s3.example to NO_PROXY" in str(refused.value)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_host_name_that_boto_refuses_is_named(monkeypatch, variable):
    monkeypatch.setenv(variable, "http://my_minio:9000")
    with pytest.raises(UsageError, match=f"{variable} is not the address of an S3 server.*my_minio") as refused:
        open_storage("s3://bucket/x").check_settings()
    assert "Host names with _ are not supported" in str(refused.value)


@pytest.mark.parametrize("address", ["http://minio.svc.cluster.local.:9000", "http://minio.example/at@path"])
def test_addresses_that_only_look_wrong_are_taken(monkeypatch, address):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    open_storage("s3://bucket/x").check_settings()


@pytest.mark.parametrize(
    "address", ["http://me:word@minio.example", "http://me:w/ord@minio.example", "me@minio.example:9000"]
)
def test_a_user_in_an_endpoint_is_refused(monkeypatch, address):
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(UsageError, match="S3 addresses hold no user or password") as refused:
        open_storage("s3://bucket/x").check_settings()
    assert "ord@" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"), [("AWS_PROFILE", "nope"), ("AWS_REQUEST_CHECKSUM_CALCULATION", "bogus")]
)
def test_wrong_settings_are_refused_before_a_request(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(StorageError, match="s3://bucket/x: the S3 (settings|credentials) cannot be used"):
        open_storage("s3://bucket/x").check_settings()
    open_storage("/tmp").check_settings()


@pytest.mark.parametrize(("status", "reads"), [(403, 1), (503, 2)])
def test_a_key_that_may_not_read_is_asked_once(monkeypatch, status, reads):
    refusal = (status, b"<Error><Code>x</Code></Error>")
    with serving(server := Server()) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setattr(Handler, "do_GET", lambda handler: handler.reply(refusal[1], status=refusal[0]))
        for key in "ab":
            open_storage("s3://bucket/x").write_bytes(key, b"data")
    assert len({path for command, path, _ in server.seen if command == "GET"}) == reads


def test_uploads_begun_for_other_checksums_are_not_resumed():
    def client(checksums):
        return SimpleNamespace(meta=SimpleNamespace(config=SimpleNamespace(request_checksum_calculation=checksums)))

    fits = {
        (sent, named): parts._fits({"ChecksumAlgorithm": named} if named else {}, client(sent))
        for sent in ("when_supported", "when_required")
        for named in ("CRC32", "SHA256", None)
    }
    assert [pair for pair, taken in fits.items() if not taken] == [
        ("when_supported", "SHA256"),
        ("when_required", "CRC32"),
        ("when_required", "SHA256"),
    ]


@pytest.mark.parametrize("payer", [None, "requester"])
def test_the_requester_pays_where_that_is_said(payer, monkeypatch):
    if payer:
        monkeypatch.setenv("AWS_REQUEST_PAYER", payer)
    with serving(server := Server()) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        storage = open_storage("s3://bucket/prefix")
        storage.write_bytes("a", b"content")
        assert storage.read_bytes("a") == b"content"
        assert storage.exists("a")
    sent = {(method, headers.get("x-amz-request-payer")) for method, _, headers in server.seen}
    assert sent == {("PUT", payer), ("GET", payer), ("HEAD", payer)}


def test_another_payer_is_refused_by_the_name_of_the_variable(monkeypatch):
    monkeypatch.setenv("AWS_REQUEST_PAYER", "me")
    with pytest.raises(UsageError, match="AWS_REQUEST_PAYER = 'me' is not known"):
        open_storage("s3://bucket/prefix").check_settings()
