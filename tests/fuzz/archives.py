"""Zip and tar archives, damaged byte by byte, and tars of headers that no archiver writes."""

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from lesiongen.errors import DataError
from lesiongen.ingestion.sources.source import open_source
from tests.fuzz.mutation import TEXTS, damaged, shuffled

ENDINGS = (".zip", ".tar", ".tar.gz")
NAMES = ("a.png", "b/a.png", "../a.png", "/a.png", "train/x.jpg", "metadata.csv", "inner.zip", "x\\y.png", "c" * 300)


def _name(rng: random.Random, number: int) -> str:
    kind = rng.random()
    if kind < 0.8:
        return f"images/{number}.png"
    return rng.choice(NAMES) if kind < 0.95 else rng.choice(TEXTS).replace("\0", "")[:400] or "x"


def _zip(rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        names = {_name(rng, number).encode("utf-8", "replace").decode() for number in range(rng.randint(0, 20))}
        for name in sorted(names):
            info = zipfile.ZipInfo(name)
            info.external_attr = rng.choice((0, 0, 0, 0o100644 << 16, 0o120777 << 16, 2**32 - 1))
            info.extra = rng.choice((b"", b"", rng.randbytes(8), b"\1\0\x10\0" + b"\xff" * 16))
            archive.writestr(info, rng.choice((b"", rng.randbytes(50), bytes(100_000))))
    return buffer.getvalue()


def _tar(rng: random.Random) -> bytes:
    blocks = [block for number in range(rng.randint(0, 15)) for block in _member(rng, number)]
    return b"".join(shuffled(rng, blocks)) + bytes(1024)


def _member(rng: random.Random, number: int) -> list[bytes]:
    info = tarfile.TarInfo(_name(rng, number))
    data = rng.randbytes(rng.choice((0, 10, 512, 2000)))
    info.size = len(data)
    if rng.random() < 0.3:
        info.type = rng.choice((b"x", b"g", b"L", b"K", b"S", b"1", b"2", b"5", b"7", b"V", b"X"))
        data = rng.choice((b"30 path=images/1.jpg\n", b"1" * 600, b"9 a=b\n" * 9, b"22 GNU.sparse.major=1\n", data))
        info.size = rng.choice((len(data), len(data), 8**11 - 1, 0))
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    try:
        header = info.tobuf(form, errors="replace")
    except ValueError:
        header = tarfile.TarInfo("long").tobuf()
    return [header, data + bytes(-len(data) % 512)]


def broken(rng: random.Random, ending: str) -> bytes:
    """Returns an archive of a kind, damaged or not."""
    data = _zip(rng) if ending == ".zip" else _tar(rng)
    if ending != ".zip" and rng.random() < 0.5:
        data = _sealed(damaged(rng, data))
    elif rng.random() < 0.6:
        data = damaged(rng, data)
    return damaged(rng, gzip.compress(data, 1), most=rng.choice((0, 0, 3))) if ending == ".tar.gz" else data


def _sealed(data: bytes) -> bytes:
    """Gives each block of a tar that looks like a header a right checksum."""
    blocks = bytearray(data)
    for at in range(0, len(blocks) - 511, 512):
        if blocks[at + 257 : at + 262] == b"ustar":
            blocks[at + 148 : at + 156] = b" " * 8
            blocks[at + 148 : at + 156] = b"%06o\0 " % (sum(blocks[at : at + 512]) % 8**6)
    return bytes(blocks)


def build(rng: random.Random, folder: Path) -> Callable[[], object]:
    """Makes an archive, alone or beside other files; every member is read."""
    ending = rng.choice(ENDINGS)
    path = folder / f"collection{ending}"
    path.write_bytes(broken(rng, ending))
    beside = rng.random() < 0.3
    if beside:
        (folder / "metadata.csv").write_text("file_name,label\n1.png,nv\n")

    def act() -> None:
        with open_source(str(folder if beside else path)) as source:
            source.open_archives()
            for item in list(source.list())[:50]:
                try:
                    source.read_bytes(item.key)
                except DataError:  # a damaged member: the others are read all the same
                    continue

    return act
