"""Jobs of several processes, and launchers of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Job", "Launcher"]


@dataclass(frozen=True)
class Job:
    """A module that several processes run, each as ``python -m module specification``.

    It names no file of this host but by an address in the specification, so that it can run on another.

    Attributes:
        module: Its main part calls `lesiongen.launch.run_as_process`, and that what it does `lesiongen.launch.worker`.
        specification: What it is to do, as text; every process gets the same.
        processes: How many in all; a launcher that has several nodes spreads them evenly.
        threads: How many each process computes in; None: the cores of a node are shared among its processes.
        identity: What is the same when the same work is started again, and of no two jobs that run at a time; by it a
            launcher may find the job of an earlier start still running. None: it looks for none.
    """

    module: str
    specification: str
    processes: int
    threads: int | None = None
    identity: str | None = None


class Launcher(ABC):
    """Runs a job to its end, here or on a cluster.

    A launcher starts the processes of each node by torchrun or as torchrun would, and sets in their environment
    `lesiongen.launch.worker.ERRORS`, the address where they leave their errors: `error_of` makes errors of them again.
    The address is a new one for every run of a job, or an earlier error would be taken for this one's.
    """

    shares_files: ClassVar[bool]
    """Whether the processes see the files of this host; if not, they get addresses on S3 or a hub only."""

    def end_earlier(self, module: str, identity: str) -> None:  # noqa: B027 (most launchers leave nothing running)
        """Ends what an earlier start of the same work has left running; `run` would wait for it.

        Args:
            module: The job's module.
            identity: The job's identity.

        Raises:
            LesionGenError: It cannot be ended.
        """

    @abstractmethod
    def run(self, job: Job, stop_requested: Callable[[], bool]) -> None:
        """Starts the processes, which find each other as torch.distributed's ``env://`` says, and waits for them.

        When it is left by an exception, no process runs any more.

        Args:
            job: What to run.
            stop_requested: Asked again and again; once it says so, the processes get SIGTERM, or the first one reads it
                from a lease (`lesiongen.launch.lease`), and may save their state.

        Raises:
            LesionGenError: A process failed; its own error is raised here, or one that names its log.
            Interrupted: The processes were asked to stop and have saved their state.
            UsageError: The launcher cannot run such a job.
        """
