"""Every request of what is done with S3 broken in every way: the result is right, or an error says what is wrong.

What no checksum of S3 covers is left out, and named in `UNSEEN`.
"""

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lesiongen.dataset import Dataset, DatasetWriter, Sample
from lesiongen.diffusion.model.folder import local_model, publish, write_manifest
from lesiongen.errors import LesionGenError
from lesiongen.records.model import Training
from lesiongen.storage import open_storage, unique_prefix
from lesiongen.storage.parts import PART_BYTES
from tests.fault_points import points
from tests.fault_proxy import KINDS, Fault

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

SMALL, BIG = bytes(range(256)) * 40, bytes(range(250)) * 4 * (PART_BYTES // 1000 + 900)
LONGEST_SECONDS = 90.0
UNSEEN = {("list", "flipped answer"), ("part", "flipped answer")}
"""A list of objects has no checksum, nor has a part of an object: its reader compares it with a digest of his own."""
UNSEEN_IN_EVERY_ANSWER = {("checked list", "flipped answer")}
"""The same wrong byte in list after list."""


@dataclass(frozen=True)
class Act:
    """What is done with a prefix of S3.

    Attributes:
        before: Done without faults, with a fresh prefix and folder.
        act: Done with faults; returns what was read.
    """

    before: Callable[[str, Path], object]
    act: Callable[[str, Path], object]


def put(root: str, folder: Path) -> None:
    storage = open_storage(root)
    storage.write_bytes("small", SMALL)
    (folder / "small").write_bytes(SMALL)


def put_big(root: str, folder: Path) -> None:
    write_big(root, folder)
    open_storage(root).upload_file(folder / "big", "big")


def write_big(root: str, folder: Path) -> None:
    (folder / "big").write_bytes(BIG)


def put_folder(root: str, folder: Path) -> None:
    write_folder(root, folder)
    open_storage(root).upload_folder(folder / "model")


def write_folder(root: str, folder: Path) -> None:
    (folder / "model" / "unet").mkdir(parents=True)
    for name in ("unet/weights.safetensors", "unet/config.json", "model_index.json"):
        (folder / "model" / name).write_bytes(hashlib.sha256(name.encode()).digest() * 30)


def write_model(root: str, folder: Path) -> None:
    write_folder(root, folder)
    facts = {
        "family": "stable-diffusion",
        "method": "full",
        "base": None,
        "prediction_type": "epsilon",
        "image_size": 64,
    }
    write_manifest(folder / "model", **facts, training=Training())


def put_model(root: str, folder: Path) -> None:
    write_model(root, folder)
    publish_model(root, folder)


def publish_model(root: str, folder: Path) -> None:
    shutil.copytree(folder / "model", folder / "copy", dirs_exist_ok=True)  # publishing takes the manifest away
    publish(folder / "copy", root)


def fetch_model(root: str, folder: Path) -> object:
    with local_model(root) as model:
        return contents(model)


def write_dataset(root: str, folder: Path) -> None:
    with DatasetWriter(root, name="data") as writer:
        for number in range(12):
            image = hashlib.sha256(bytes([number])).digest() * 50
            split = "test" if number % 4 == 0 else "train"
            writer.add(Sample(image=image, image_id=str(number), diagnosis="nv", split=split, caption=f"a {number}"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def download(key: str) -> Callable[[str, Path], bytes]:
    def act(root: str, folder: Path) -> bytes:
        open_storage(root).download_file(key, folder / "down" / key)
        return (folder / "down" / key).read_bytes()

    return act


def part(root: str, folder: Path) -> bytes:
    with open_storage(root).open("small") as stream:
        stream.seek(1000)
        return stream.read(500)


def download_folder(root: str, folder: Path) -> dict[str, bytes]:
    open_storage(root).download_folder(folder / "down")
    return contents(folder / "down")


def checked_facts(root: str) -> list[tuple[str, int, str | None]]:
    return [(item.key, item.size, item.etag) for item in open_storage(root).checked_list()]


def nothing(root: str, folder: Path) -> None:
    """Nothing has to be there."""


ACTS = {
    "read": Act(put, lambda root, folder: open_storage(root).read_bytes("small")),
    "part": Act(put, part),
    "download": Act(put, download("small")),
    "download in parts": Act(put_big, download("big")),
    "list": Act(put, lambda root, folder: [(item.key, item.size) for item in open_storage(root).list()]),
    "checked list": Act(put_folder, lambda root, folder: checked_facts(root)),
    "exists": Act(put, lambda root, folder: [open_storage(root).exists(key) for key in ("small", "no")]),
    "write": Act(nothing, lambda root, folder: open_storage(root).write_bytes("new", SMALL)),
    "create": Act(nothing, lambda root, folder: str(open_storage(root).create_bytes("new", SMALL))),
    "upload": Act(put, lambda root, folder: open_storage(root).upload_file(folder / "small", "new")),
    "upload in parts": Act(write_big, lambda root, folder: open_storage(root).upload_file(folder / "big", "new")),
    "delete": Act(put, lambda root, folder: open_storage(root).delete("small")),
    "delete all": Act(put_folder, lambda root, folder: open_storage(root).delete_all()),
    "upload folder": Act(write_folder, lambda root, folder: open_storage(root).upload_folder(folder / "model")),
    "download folder": Act(put_folder, download_folder),
    "publish model": Act(write_model, publish_model),
    "fetch model": Act(put_model, fetch_model),
    "publish dataset": Act(nothing, write_dataset),
    "metadata": Act(write_dataset, lambda root, folder: Dataset.open(root).metadata().to_json()),
    "select": Act(write_dataset, lambda root, folder: list(Dataset.open(root).select({"3", "8"}))),
    "samples": Act(write_dataset, lambda root, folder: list(Dataset.open(root).samples())),
}


def stored(root: str) -> dict[str, str]:
    """Returns what is stored, but for the time at which a dataset was made."""
    storage = open_storage(root)
    found = {item.key: hashlib.sha256(storage.read_bytes(item.key)).hexdigest() for item in storage.list()}
    if "_dataset.json" in found:
        found["_dataset.json"] = Dataset.open(root).manifest.version
    return found


def cases(requests: int) -> Iterator[Fault]:
    for kind in KINDS:
        for at in range(requests):
            for place in (0.1, 0.5, 0.9) if kind.startswith("flipped") else (0.5,):
                yield Fault(kind, at=at, place=place)
        yield Fault(kind, times=10_000)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesiongen.storage.s3_object.FIRST_WAIT", 0.01)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0)
    # A client that has failed very often stops trying again: here one client sees hundreds of failures.
    monkeypatch.setattr("botocore.retries.quota.RetryQuota.acquire", lambda self, capacity_amount: True)


@pytest.mark.parametrize("name", ACTS)
def test_a_broken_request_gives_what_is_right_or_an_error_that_says_so(name, proxy, tmp_path):
    def fresh(number: object) -> tuple[str, Path]:
        root, folder = unique_prefix("s3://lesiongen/tests"), tmp_path / str(number)
        folder.mkdir()
        proxy.set(None)
        ACTS[name].before(root, folder)
        proxy.set(None)
        return root, folder

    root, folder = fresh("right")
    right = ACTS[name].act(root, folder)
    requests = len(proxy.requests)
    there = stored(root)
    found: Counter[str] = Counter()
    broken = [
        fault
        for fault in cases(requests)
        if (name, fault.kind) not in UNSEEN and (fault.times == 1 or (name, fault.kind) not in UNSEEN_IN_EVERY_ANSWER)
    ]
    for number, fault in enumerate(points(broken, step=11)):
        root, folder = fresh(number)
        proxy.set(fault)
        started = time.monotonic()
        try:
            assert ACTS[name].act(root, folder) == right, fault
            outcome = "right"
        except LesionGenError as error:
            assert len(str(error)) < 800, fault
            assert fault.times > 1 or fault.kind.startswith("flipped"), (fault, error)
            outcome = "told"
        assert time.monotonic() - started < LONGEST_SECONDS, fault
        found[outcome if proxy.struck else "not reached"] += 1
        proxy.set(None)
        if outcome == "right":
            assert stored(root) == there, fault
        else:
            assert repeated(name, root, folder) in (right, "already holds"), fault
            assert stored(root) == there, fault
        shutil.rmtree(folder)
    report(name, requests, found)


def repeated(name: str, root: str, folder: Path) -> object:
    """Does it once more, without faults: what was published though that was not known is whole."""
    try:
        return ACTS[name].act(root, folder)
    except LesionGenError as error:
        assert "already holds" in str(error)
        return "already holds"


def report(name: str, requests: int, found: Counter[str]) -> None:
    """Shows what came of it, with ``pytest -s``."""
    print(f"{name}: {requests} requests, {found.total()} cases, {dict(found)}")  # noqa: T201
