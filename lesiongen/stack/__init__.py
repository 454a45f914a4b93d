"""The embedded local stack: an S3 server and an MLflow server on loopback."""

from lesiongen.stack.home import private_folder, writing_to
from lesiongen.stack.local import (
    ServerStatus,
    Stack,
    StackStatus,
    default_home,
    named_servers,
    running_stack,
    use_running_stack,
)

__all__ = [
    "ServerStatus",
    "Stack",
    "StackStatus",
    "default_home",
    "named_servers",
    "private_folder",
    "running_stack",
    "use_running_stack",
    "writing_to",
]
