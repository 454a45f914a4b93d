"""``lesiongen register``, ``promote``, ``rollback`` and ``history``: from an evaluated generator to a released one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesiongen.cli.options import ConfigFile, Json, console, print_json

if TYPE_CHECKING:
    from lesiongen.records.decision import Decision
    from lesiongen.records.history import HistoryCheck, HistoryEvent

__all__ = [
    "HOLD_EXIT_CODE",
    "REJECT_EXIT_CODE",
    "TAMPERED_EXIT_CODE",
    "history_command",
    "promote_command",
    "register_command",
    "rollback_command",
]

HOLD_EXIT_CODE, REJECT_EXIT_CODE = 3, 4
TAMPERED_EXIT_CODE = 3

Name = Annotated[str, typer.Argument(help="Name of the registered model.")]
Who = Annotated[str | None, typer.Option(help="Who decides; by default LESIONGEN_USER, else user and host.")]


def register_command(
    evaluation: Annotated[str, typer.Argument(help="Folder or s3:// prefix that `evaluate` wrote.")],
    model: Annotated[str, typer.Option(help="Folder or s3:// prefix of the generator.")],
    name: Annotated[str, typer.Option(help="Name in the registry.")],
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Register an evaluated generator, and the classifier of its evaluation, as the challenger.

    Examples:
      lesiongen register s3://lesiongen/evaluations/demo --model s3://lesiongen/models/demo --name demo
    """
    from lesiongen.registry import register

    registered = register(evaluation, model, name)
    if as_json:
        print_json(vars(registered))
        return
    console.print(f"{registered.name} version {registered.version} is the challenger.", markup=False)
    if registered.classifier_name:
        console.print(f"Classifier: {registered.classifier_name} version {registered.classifier_version}", markup=False)


def promote_command(
    name: Name,
    version: Annotated[str | None, typer.Option(help="Version to decide on; the challenger by default.")] = None,
    gates: Annotated[Path | None, typer.Option(help="YAML file of limits; what it omits keeps its default.")] = None,
    who: Who = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Let the gates decide on a registered generator; make it the champion if they say PROMOTE.

    Exit codes: 0 PROMOTE, 3 HOLD, 4 REJECT (the champion stays as it is), 1 and 2 errors: nothing was decided.

    Examples:
      lesiongen promote demo

      lesiongen promote demo --version 3 --gates gates.yaml
    """
    from lesiongen.registry import load_gates, promote

    limits = load_gates(gates) if gates is not None else None
    result = promote(name, version, limits, who=who)
    if as_json:
        print_json(result.as_dict())
    else:
        _show_decision(result.decision)
        champion = f"version {result.champion}" if result.champion else "none"
        console.print(f"{name} version {result.version}; champion: {champion}", markup=False)
    codes = {"PROMOTE": 0, "HOLD": HOLD_EXIT_CODE, "REJECT": REJECT_EXIT_CODE}
    raise typer.Exit(codes[result.decision.outcome])


def rollback_command(
    name: Name,
    who: Who = None,
    why: Annotated[str, typer.Option(help="Reason, kept in the history.")] = "",
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Make the previous champion the champion again.

    Examples:
      lesiongen rollback demo --why "nevi drawn with hair only"
    """
    from lesiongen.registry import rollback

    result = rollback(name, who=who, why=why)
    if as_json:
        print_json(vars(result))
        return
    console.print(f"{name}: version {result.champion} is the champion again, after {result.rolled_back}.", markup=False)


def history_command(
    name: Name,
    verify: Annotated[bool, typer.Option("--verify", help="Check that no record was changed since.")] = False,
    expect: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="With --verify: a digest kept elsewhere, to be in the history.")
    ] = None,
    as_json: Json = False,
    config: ConfigFile = None,
) -> None:
    """List what happened to a registered generator: when, who, what, and why.

    Exit codes of --verify: 0 as it was written, 3 a record or decision form was altered, removed, inserted or moved;
    1 and 2 errors: not checked.

    Examples:
      lesiongen history demo --json

      lesiongen history demo --verify

      lesiongen history demo --verify --expect 3f1c09ab52d47e60
    """
    from lesiongen.errors import UsageError
    from lesiongen.registry import history, verify_history

    if verify:
        check = verify_history(name, expected=expect)
        if as_json:
            print_json(check.model_dump(mode="json"))
        else:
            _show_check(check)
        raise typer.Exit(0 if check.intact else TAMPERED_EXIT_CODE)
    if expect is not None:
        raise UsageError("--expect needs --verify.", hint=f"lesiongen history {name} --verify --expect {expect}")
    events = history(name)
    if as_json:
        print_json([event.model_dump(mode="json") for event in events])
        return
    for event in events:
        _show_event(event)


def _show_check(check: "HistoryCheck") -> None:
    for note in check.notes:
        console.print(f"Note: {note}", markup=False)
    for finding in check.findings:
        console.print(f"{finding.kind}: {finding.message}", markup=False)
    told = "the history is as it was written" if check.intact else f"{len(check.findings)} findings"
    console.print(f"{check.name}: {check.records} records; {told}.", markup=False)
    if check.intact and check.digest:
        console.print(f"Digest of the last record: {check.digest}", markup=False)
        console.print("Keep it elsewhere; --expect checks that its record is still there.", markup=False)


def _show_decision(decision: "Decision") -> None:
    console.print(decision.outcome.value, style="bold")
    for reason in decision.reasons:
        console.print(f"  {reason.word:<8}{reason.gate}: {reason.message}", markup=False)


def _show_event(event: "HistoryEvent") -> None:
    change = ""
    if event.champion_before != event.champion_after:
        change = f", champion {event.champion_before or 'none'} -> {event.champion_after}"
    line = f"{event.when}  {event.action:<9}version {event.version}{change}  ({event.who})"
    console.print(f"{line}{_state(event)}", markup=False)
    for reason in event.reasons:
        console.print(f"    {reason}", markup=False)


def _state(event: "HistoryEvent") -> str:
    if event.state == "started":
        repair = "repeat the same register" if event.action == "register" else "the next command repairs it"
        return f"  not finished: at work, or its command ended early ({repair})"
    if event.state == "undone":
        return f"  undone by {event.repaired_by}"
    return f"  finished by {event.repaired_by}" if event.repaired_by else ""
