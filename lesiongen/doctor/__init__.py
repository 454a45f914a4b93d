"""The checks of ``lesiongen doctor``: is everything there that a run needs, and what to do where it is not."""

from lesiongen.doctor.cluster import cluster_checks
from lesiongen.doctor.machine import machine_checks
from lesiongen.doctor.outcome import CheckResult, Checks, Outcome, run_checks
from lesiongen.doctor.services import service_checks

__all__ = ["CheckResult", "Checks", "Outcome", "cluster_checks", "machine_checks", "run_checks", "service_checks"]
