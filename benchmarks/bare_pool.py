"""The limit of `validation.py`: a bare process pool that decodes a folder of images with Pillow.

    python bare_pool.py FOLDER [MODULE ...]

Prints the seconds that it takes, and those of processor time. A program of its own, because decoding small images takes
up to twice as long in one program as in another: by where its memory happens to lie. The modules, imported before, move
it.
"""

import multiprocessing
import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module

from PIL import Image

CHUNK = 64


def decode_files(paths: list[str]) -> int:
    """Decodes files and nothing else."""
    for path in paths:
        with Image.open(path) as image:
            image.load()
    return len(paths)


def main(folder: str, *modules: str) -> None:
    """Decodes all files of a folder on all cores, and prints what that took."""
    for module in modules:
        import_module(module)
    paths = sorted(entry.path for entry in os.scandir(folder))
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    started = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("fork")) as pool:
        if sum(pool.map(decode_files, chunks)) != len(paths):
            raise RuntimeError("not every file was decoded")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(time.perf_counter() - started, used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main(*sys.argv[1:])
