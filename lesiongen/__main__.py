"""``python -m lesiongen`` is the ``lesiongen`` command."""

__all__ = ["main"]


def main() -> None:
    """Runs the command; once its end is decided, a signal that comes late changes nothing about it."""
    from lesiongen.interruption import decide_exit_code

    decide_exit_code(None)
    # Imported here: processes that a command starts import this file, and should not wait for what they do not need.
    from lesiongen.cli.app import main as run

    try:
        run()
    except SystemExit as ended:
        decide_exit_code(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise
    decide_exit_code(0)


if __name__ == "__main__":
    main()
