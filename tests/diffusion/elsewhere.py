"""A launcher as for another host: its processes have torchrun's variables, an address for their errors, and no more."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from lesiongen.errors import LesionGenError
from lesiongen.launch import ERRORS, Job, Launcher, error_of
from lesiongen.storage import open_storage


class Elsewhere(Launcher):
    """Runs a job in a home and a folder of temporary files of its own.

    Args:
        host: Stands for the other host.
        errors: ``s3://`` prefix, below which each job has a place for its errors.
        before: Called with each job before it starts.
        after: Called with each job that ended well.
    """

    shares_files: ClassVar[bool] = False

    def __init__(
        self,
        host: Path,
        errors: str,
        before: Callable[[Job], None] = lambda job: None,
        after: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.host, self.errors, self.before, self.after = host, errors, before, after

    def run(self, job: Job, stop_requested: Callable[[], bool]) -> None:
        self.before(job)
        self.host.mkdir(exist_ok=True)
        own = {"HOME": str(self.host), "TMPDIR": str(self.host), "PYTHONPATH": str(Path(__file__).parents[2])}
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.processes}"]
        others = {name: value for name, value in os.environ.items() if name != "LESIONGEN_CACHE"}
        errors = f"{self.errors}/{secrets.token_hex(4)}"
        environment = {**others, **own, ERRORS: errors, "OMP_NUM_THREADS": str(job.threads or 1)}
        command = [*torchrun, "--module", job.module, job.specification]
        with subprocess.Popen(command, env=environment, cwd=self.host, stderr=subprocess.DEVNULL) as agent:
            asked = False
            while agent.poll() is None:
                time.sleep(0.1)
                if stop_requested() and not asked:
                    asked = True
                    agent.terminate()  # torchrun passes it on, and waits for half a minute
        if agent.returncode:
            raise error_of(open_storage(errors), stopping=stop_requested()) or LesionGenError("it left no error")
        self.after(job)
