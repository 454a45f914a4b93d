"""The embedded local stack: an S3 server and an MLflow server on loopback."""

from lesiongen.stack.local import (
    ServerStatus,
    Stack,
    StackStatus,
    default_home,
    running_stack,
    use_running_stack,
)

__all__ = ["ServerStatus", "Stack", "StackStatus", "default_home", "running_stack", "use_running_stack"]
