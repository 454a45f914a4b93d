"""``python -m lesiongen`` is the ``lesiongen`` command."""

__all__ = ["main"]


def main() -> None:
    """Runs the command."""
    # Imported here: processes that a command starts import this file, and should not wait for what they do not need.
    from lesiongen.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
