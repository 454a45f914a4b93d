"""What is launched, and what launches it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Job", "Launcher"]


@dataclass(frozen=True)
class Job:
    """A module that several processes run, each as ``python -m module specification``.

    Attributes:
        module: Its main part calls `lesiongen.launch.run_as_process`, and that what it does `lesiongen.launch.worker`.
        specification: What it is to do, as text; every process gets the same.
        processes: How many.
        threads: How many each computes in; None: the cores are shared among them.
    """

    module: str
    specification: str
    processes: int
    threads: int | None = None


class Launcher(ABC):
    """Runs a job to its end; a launcher for a cluster implements the same."""

    @abstractmethod
    def run(self, job: Job, stop_requested: Callable[[], bool]) -> None:
        """Starts the processes, which find each other as torch.distributed's ``env://`` says, and waits for them.

        Args:
            job: What to run.
            stop_requested: Asked again and again; once it says so, the processes get SIGTERM and may save their state.

        Raises:
            LesionGenError: A process failed; its own error is raised here, or one that names its log.
            Interrupted: The processes were asked to stop and have saved their state.
        """
