"""Registry commands in processes of their own, which a test may kill, and registries that are ready for them."""

import dataclasses
import multiprocessing
import os
import traceback
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from lesiongen.errors import LesionGenError
from lesiongen.records.history import HistoryEvent
from lesiongen.registry import Gates, champion, promote, register, rollback
from lesiongen.registry import lease as leases
from lesiongen.registry import tags as stored

LAX = Gates(min_seeds=1, min_test_lesions=1)
COMMANDS = {"register": register, "promote": promote, "rollback": rollback}


class Command:
    """One run of register, promote or rollback, in a process that inherits nothing but what it is given."""

    def __init__(
        self, command: str, arguments: dict[str, Any], environment: dict[str, str], *, heartbeat: bool = True
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["mlflow", "lesiongen.registry", "lesiongen.dataset", "boto3", __name__])
        self.answers, theirs = context.Pipe(duplex=False)
        self._go = context.Event()
        self.process: BaseProcess = context.Process(
            target=_work, args=(command, arguments, environment, heartbeat, self._go, theirs), daemon=True
        )
        self.process.start()
        theirs.close()

    def run(self) -> tuple[str, Any]:
        """Lets it begin, and returns how it ended ("done", "refused", "broke" or "killed") with its result or error."""
        self.begin()
        return self.end()

    def begin(self) -> None:
        self._go.set()

    def end(self) -> tuple[str, Any]:
        self.process.join(timeout=120)
        assert self.process.exitcode is not None, "the command hangs"
        try:
            return self.answers.recv()
        except EOFError:
            return "killed", None


def _work(
    command: str, arguments: dict[str, Any], environment: dict[str, str], heartbeat: bool, go: Any, answers: Connection
) -> None:
    if not heartbeat:  # its requests are the same each time, however slow the machine
        leases.BEAT_SECONDS = leases.UNSURE_SECONDS = 3600.0
    for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_", "LESIONGEN_"))]:
        del os.environ[name]
    os.environ.update(environment)
    go.wait()
    try:
        result = COMMANDS[command](**arguments)
        answers.send(("done", dataclasses.asdict(result)))
    except LesionGenError as error:
        answers.send(("refused", str(error)))
    except Exception:
        answers.send(("broke", traceback.format_exc()))


def aliases(client: Any, name: str) -> dict[str, int]:
    """Returns the versions that the aliases of a registered model point to."""
    return {alias: int(version) for alias, version in client.get_registered_model(name).aliases.items()}


def released(client: Any, name: str, evaluation: dict[str, str], *, versions: int, champions: int) -> None:
    """Writes a registry of completely registered versions, the first of which were promoted one after another."""
    numbers = [str(number) for number in range(1, versions + 1)]
    client.create_registered_model(name)
    client.create_registered_model(f"{name}-classifier")
    for number in numbers:
        tags = {**evaluation, stored.CLASSIFIER_TAG: number, champion.REGISTRATION_TAG: champion.COMPLETE}
        client.create_model_version(name, "s3://nowhere/model", tags=tags, await_creation_for=0)
        key = {stored.EVALUATION_VERSION_TAG: evaluation[stored.EVALUATION_VERSION_TAG]}
        client.create_model_version(f"{name}-classifier", "s3://nowhere/classifier", tags=key, await_creation_for=0)
    for number in numbers[:champions]:
        before = str(int(number) - 1) if number != "1" else None
        event = HistoryEvent(
            when=stored.now(),
            who="someone",
            action="promote",
            version=number,
            champion_before=before,
            champion_after=number,
            number=int(number),
        )
        stored.write_event(client, name, event)
    client.set_registered_model_alias(name, "challenger", numbers[-1])
    if champions:
        client.set_registered_model_alias(name, "champion", numbers[champions - 1])
        client.set_registered_model_alias(f"{name}-classifier", "champion", numbers[champions - 1])
