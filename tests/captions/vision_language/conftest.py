"""A chat-completions server on loopback that checks what it is sent, and images to send."""

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lesiongen.captions.vision_language import VisionLanguageConfig
from lesiongen.captions.vision_language.endpoint import Endpoint
from lesiongen.captions.vision_language.pacing import Clock
from lesiongen.captions.vision_language.writer import VisionLanguageWriter
from lesiongen.dataset import Sample

GOOD = {"colour": ["dark brown", "black"], "shape": ["oval"], "border": ["irregular border"], "patterns": []}
KEY = "sk-lesiongen-test-0123456789"
CARDS = {"red": (220, 20, 20), "green": (20, 160, 40), "blue": (20, 60, 220), "yellow": (240, 220, 20)}


def completion(content, *, finish="stop", usage=(400, 40), **message):
    """A chat completion as OpenAI, vLLM and Ollama return it."""
    told = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)} if usage else None
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "seer", "choices": [choice], "usage": told}


@dataclass
class Reply:
    """What the server answers once, instead of a good report."""

    status: int = 200
    body: object = None
    headers: dict = field(default_factory=dict)
    raw: bytes | None = None
    hold: bool = False


class ChatServer(ThreadingHTTPServer):
    """Answers every question about an image well, but for the replies that a test puts in line."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests, self.keys, self.violations = [], [], []
        self.replies, self.refuses = [], None
        self.good, self.usage, self.sees = GOOD, (400, 40), True
        self.released = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def reply_to(self, body):
        if "lesion" not in body["messages"][0]["content"]:
            return Reply(body=completion(json.dumps({"colour": self._colour(body)})))
        if self.refuses and (reply := self.refuses(body)):
            return reply
        with self.lock:
            return (
                self.replies.pop(0) if self.replies else Reply(body=completion(json.dumps(self.good), usage=self.usage))
            )

    def _colour(self, body):
        pixels = np.asarray(shown(body), dtype=float).reshape(-1, 3).mean(axis=0) if self.sees else np.zeros(3)
        return min(CARDS, key=lambda name: np.abs(pixels - CARDS[name]).sum())

    def asked(self):
        """The requests about lesions."""
        return [body for body in self.requests if "lesion" in body["messages"][0]["content"]]


def shown(body):
    """Decodes the image of a request."""
    parts = [part for message in body["messages"] for part in message["content"] if isinstance(part, dict)]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert len(urls) == 1, "one image in each request"
    assert urls[0].startswith("data:image/jpeg;base64,")
    return Image.open(BytesIO(base64.b64decode(urls[0].split(",", 1)[1], validate=True)))


def check_protocol(path, headers, body):
    """What the chat-completions protocol asks of a request; a violation fails the test."""
    assert path == "/v1/chat/completions"
    assert headers["Content-Type"] == "application/json"
    assert set(body) <= {
        "model", "messages", "response_format", "max_tokens", "max_completion_tokens", "temperature", "logprobs",
    }  # fmt: skip
    assert body["model"] == "seer"
    assert ("max_tokens" in body) != ("max_completion_tokens" in body)
    assert [message["role"] for message in body["messages"]][:2] == ["system", "user"]
    for message in body["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else []:
            assert part["type"] in ("text", "image_url")
            assert set(part) == {"type", part["type"]}
    image = shown(body)
    assert image.format == "JPEG" and image.mode == "RGB"
    assert not image.getexif() and "comment" not in image.info and "icc_profile" not in image.info
    chosen = body.get("response_format", {"type": "text"})
    if chosen["type"] == "json_schema":
        assert set(chosen["json_schema"]) == {"name", "strict", "schema"}
        schema = chosen["json_schema"]["schema"]
        assert schema["additionalProperties"] is False
        assert set(schema["required"]) == set(schema["properties"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            check_protocol(self.path, self.headers, body)
        except (AssertionError, KeyError, ValueError) as error:
            self.server.violations.append(f"{type(error).__name__}: {error}")
        with self.server.lock:
            self.server.requests.append(body)
            self.server.keys.append(self.headers["Authorization"])
        reply = self.server.reply_to(body)
        if reply.hold:
            self.server.released.wait(20)
            self.close_connection = True
            return
        raw = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in ({"Content-Length": str(len(raw))} | reply.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)
        self.close_connection = "Content-Length" in reply.headers

    def log_message(self, *args):
        pass


class FakeTime:
    """Time that passes only where somebody sleeps."""

    def __init__(self):
        self.time, self.slept = 0.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds

    @property
    def clock(self):
        return Clock(now=lambda: self.time, sleep=self.sleep, jitter=lambda low, high: high)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("LESIONGEN_VLM_API_KEY", KEY)
    with ChatServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()
    assert server.violations == []


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
def configure(server, tmp_path):
    """Builds a configuration for the server; most tests need no sight check."""

    def build(**changes):
        values = {"model": "seer", "url": server.url, "cache": str(tmp_path / "answers"), "check_sight": False}
        return VisionLanguageConfig(**(values | changes))

    return build


@pytest.fixture
def writer(configure, time):
    """Builds a writer for the server, on fake time."""

    def build(**changes):
        config = configure(**changes)
        return VisionLanguageWriter(config, Endpoint(config, config.url, time.clock))

    return build


def picture(index=0, size=(90, 60)):
    """A picture that no other index has."""
    return Image.fromarray(np.random.default_rng(index).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def sample(index=0, **changes):
    values = {"image": b"", "image_id": f"image-{index}", "diagnosis": "mel", "split": "train", "source": "clinic"}
    return Sample(**(values | changes))


@pytest.fixture
def lesions():
    """Builds samples and their images."""

    def build(count, **changes):
        return [sample(index, **changes) for index in range(count)], [picture(index) for index in range(count)]

    return build
