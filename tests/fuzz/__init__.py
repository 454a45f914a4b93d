"""Foreign files, made to do harm, given to every place where LesionGen reads what it did not write.

A case is a kind and a number: it makes the same files and calls the same functions each time. Of every case is asked:

- no exception but the project's own;
- no file made, changed or removed outside the case's own output, and no temporary file left;
- nothing half published: there is no manifest, or the dataset reads whole;
- no more processor time and memory than a bound; no process left.

``make test-faults`` tries some of each kind. For as long as you like, from the root of the repository::

    python -m tests.fuzz --minutes 60 --seed 1 --processes 2

and one case that was found, with its traceback::

    python -m tests.fuzz --only images:1234
"""
