"""A launcher as for another host: its processes have torchrun's variables, an address for their errors, and no more."""

import os
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
        errors: ``s3://`` prefix of the processes' errors.
        before: Called with each job before it starts.
    """

    shares_files: ClassVar[bool] = False

    def __init__(self, host: Path, errors: str, before: Callable[[Job], None] = lambda job: None) -> None:
        self.host, self.errors, self.before = host, errors, before

    def run(self, job: Job, stop_requested: Callable[[], bool]) -> None:
        self.before(job)
        self.host.mkdir(exist_ok=True)
        own = {"HOME": str(self.host), "TMPDIR": str(self.host), "PYTHONPATH": str(Path(__file__).parents[2])}
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.processes}"]
        others = {name: value for name, value in os.environ.items() if name != "LESIONGEN_CACHE"}
        environment = {**others, **own, ERRORS: self.errors, "OMP_NUM_THREADS": str(job.threads or 1)}
        command = [*torchrun, "--module", job.module, job.specification]
        with subprocess.Popen(command, env=environment, cwd=self.host, stderr=subprocess.DEVNULL) as agent:
            while agent.poll() is None:
                time.sleep(0.1)
        if agent.returncode:
            raise error_of(open_storage(self.errors), stopping=stop_requested()) or LesionGenError("it left no error")
