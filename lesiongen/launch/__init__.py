"""Running one job in several processes: on this host, and by the same interface elsewhere."""

from lesiongen.launch.job import Job, Launcher
from lesiongen.launch.local import LocalLauncher
from lesiongen.launch.worker import ERRORS, error_of, run_as_process, worker

__all__ = ["ERRORS", "Job", "Launcher", "LocalLauncher", "error_of", "run_as_process", "worker"]
