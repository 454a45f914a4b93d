"""Removes from a virtual environment what packages carry for their own tests: a tenth of its size, never used here."""

import shutil
import sys
from pathlib import Path

WITH_TESTS = ("matplotlib", "networkx", "pandas", "pyarrow", "scipy", "sklearn", "statsmodels", "sympy")
"""Packages whose folders named tests hold tests alone; those of evidently, for example, are part of it."""
NOT_NEEDED = ("torch/test", "torch/bin/*[Tt]est*", "torch/bin/protoc*")
"""Programs that torch's own build made; `torch_shm_manager` beside them is used."""


def trim(environment: Path) -> None:
    """Removes the tests of the packages that are installed in a virtual environment."""
    for packages in environment.glob("lib/python*/site-packages"):
        found = [path for name in WITH_TESTS for path in (packages / name).rglob("tests") if path.is_dir()]
        found += [path for pattern in NOT_NEEDED for path in packages.glob(pattern)]
        for path in found:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    trim(Path(sys.argv[1]))
