"""Errors that a user is meant to read: what is wrong, where, and what to do."""

import errno

from lesiongen.redaction import shown

__all__ = [
    "DataError",
    "Diverged",
    "Interrupted",
    "LesionGenError",
    "ServiceError",
    "StillRunning",
    "StorageError",
    "Unavailable",
    "Unreachable",
    "UsageError",
    "disk_error",
]


class LesionGenError(Exception):
    """Base of every error shown to a user without a traceback; its text holds no secret (`lesiongen.redaction`).

    Args:
        message: What is wrong and where (file, row, column, value), in one or a few sentences.
        hint: What to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0])
        return shown(f"{message}\n{self.hint}" if self.hint else message)


class UsageError(LesionGenError):
    """A flag, a variable, a configuration or a path is wrong; nothing was started."""

    exit_code = 2


class DataError(LesionGenError):
    """The data are wrong; the message names the rows."""


class Diverged(LesionGenError):
    """Training came to nothing: its gradients stopped being finite numbers."""


class StorageError(LesionGenError):
    """An object or a folder cannot be reached, read or written."""


class Unreachable(StorageError):
    """A storage does not answer now; it may in a while."""


class ServiceError(LesionGenError):
    """A server that the work needs (S3, MLflow, Kubeflow) does not answer as it should."""


class Unavailable(ServiceError):
    """A server does not answer now; it may in a while."""


class StillRunning(LesionGenError):
    """The time to wait is over, and the work continues elsewhere (EX_TEMPFAIL)."""

    exit_code = 75


class Interrupted(LesionGenError):
    """The work was asked to stop, has saved its state, and is to be started again (EX_TEMPFAIL)."""

    exit_code = 75


def disk_error(error: BaseException) -> StorageError | None:
    """Returns the error to show for a full disk or a file that is closed to this user; None for anything else."""
    if not isinstance(error, OSError):
        return None
    if isinstance(error, PermissionError) and error.filename:
        hint = "Check the permissions of the file and of its folder, or choose another place."
        return StorageError(f"{error.filename} may not be read or written: {error.strerror}", hint=hint)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG) and not _is_without_temporary(error):
        return None
    place = f"{error.filename}: " if error.filename else ""
    return StorageError(
        f"A file cannot be written: {place}{error.strerror or error}",
        hint="Free some space, choose another output, or set TMPDIR to a larger disk; then start it again.",
    )


def _is_without_temporary(error: OSError) -> bool:
    return error.errno == errno.ENOENT and str(error.strerror).startswith("No usable temporary directory")
