"""Running one job in several processes: on this host, on a cluster, and by the same interface elsewhere."""

from lesiongen.launch.job import Job, Launcher
from lesiongen.launch.lease import LEASE, held_lease
from lesiongen.launch.local import LocalLauncher
from lesiongen.launch.trainjob import TrainJobLauncher
from lesiongen.launch.worker import ERRORS, error_of, run_as_process, worker

__all__ = [
    "ERRORS",
    "LEASE",
    "Job",
    "Launcher",
    "LocalLauncher",
    "TrainJobLauncher",
    "error_of",
    "held_lease",
    "run_as_process",
    "worker",
]
