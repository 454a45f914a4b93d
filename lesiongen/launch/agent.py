"""torchrun without its own account of a process that failed: what the process left behind says more."""

import logging
import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

__all__ = ["run"]


def run() -> None:
    """Runs torchrun's command line.

    Raises:
        SystemExit: A process failed; with its exit code, or 128 and the number of the signal that ended it.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        main()
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        sys.exit(first.exitcode if first.exitcode >= 0 else 128 - first.exitcode)


if __name__ == "__main__":
    run()
