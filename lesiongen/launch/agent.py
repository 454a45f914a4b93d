"""torchrun without its own account of a process that failed: what the process left behind says more."""

import logging
import os
import sys

from joblib import cpu_count
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

__all__ = ["run"]


def run() -> None:
    """Runs torchrun's command line.

    Raises:
        SystemExit: A process failed; with its exit code, or 128 and the number of the signal that ended it.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    if processes := os.environ.get("PET_NPROC_PER_NODE"):  # on another host, whose cores its launcher cannot count
        os.environ.setdefault("OMP_NUM_THREADS", str(max(cpu_count() // int(processes), 1)))
    try:
        main()
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        sys.exit(first.exitcode if first.exitcode >= 0 else 128 - first.exitcode)


if __name__ == "__main__":
    run()
