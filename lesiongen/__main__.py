"""``python -m lesiongen`` is the ``lesiongen`` command."""

from lesiongen.cli.app import main

if __name__ == "__main__":
    main()
