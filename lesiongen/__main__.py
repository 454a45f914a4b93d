"""``python -m lesiongen`` is the ``lesiongen`` command."""

import atexit
import os
import sys

__all__ = ["main"]

INTERRUPTED = {75, 129, 130, 143}
"""Exit codes of a command that a signal has ended."""


def main() -> None:
    """Runs the command; once its end is decided, a signal that comes late changes nothing about it."""
    from lesiongen.interruption import decide_exit_code
    from lesiongen.safe_path import find_own_packages
    from lesiongen.utf8_mode import enter_utf8_mode

    enter_utf8_mode()
    find_own_packages()
    decide_exit_code(None)
    # Imported here: processes that a command starts import this file, and should not wait for what they do not need.
    from lesiongen.cli.app import main as run

    try:
        run()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        decide_exit_code(code)
        if code in INTERRUPTED:
            _end(code)
        raise
    decide_exit_code(0)


def _end(code: int) -> None:
    """Ends the process: an interpreter that is taken down gives up its handlers, and the next signal would decide."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    from lesiongen.safe_path import leave_out_working_folder

    leave_out_working_folder()
    main()
