"""Every request of register, promote and rollback meets every fault; the command is then repeated."""

import uuid

import pytest

from lesiongen.registry import champion, history, promote, register, rollback, verify_history
from lesiongen.registry import tags as stored
from lesiongen.registry.tags import LOCK_SUFFIX
from tests.fault_points import points
from tests.registry.commands import LAX, Command, aliases, released
from tests.registry.proxy import FAULTS, GONE_AFTER, KILL_AFTER, KILL_BEFORE, LOSE_ANSWER


class Trial:
    """One command against one registry, through the proxy."""

    def __init__(self, command, passing, client, proxy, environment):
        self.command, self.client, self.proxy = command, client, proxy
        self.name = f"lesions-{uuid.uuid4().hex[:8]}"
        self.arguments = {"name": self.name}
        if command == "register":
            self.arguments |= passing.addresses
        elif command == "promote":
            released(client, self.name, passing.tags, versions=2, champions=1)
            self.arguments |= {"gates": LAX}
        else:
            released(client, self.name, passing.tags, versions=3, champions=3)
        self.environment = environment | {
            "MLFLOW_TRACKING_URI": proxy.address,
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
            "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
        }

    def run(self, fault=None):
        self.proxy.disturb(fault)
        command = Command(self.command, self.arguments, self.environment, heartbeat=False)
        self.proxy.client_pid = command.process.pid
        outcome, answer = command.run()
        assert outcome != "broke", answer
        return outcome

    def repeat(self):
        """Repeats the command in this process, straight to the server."""
        return {"register": register, "promote": promote, "rollback": rollback}[self.command](**self.arguments)

    def assert_sound(self):
        """What holds after any death: a whole history; the champion is the one of before, or the one that is to be."""
        if self.command != "register":
            assert aliases(self.client, self.name)["champion"] in {"promote": (1, 2), "rollback": (3, 2)}[self.command]
            assert verify_history(self.name).findings == ()

    def assert_done_once(self):
        """What holds when the command was carried out: one version, one event, aliases together, nothing left over."""
        events = [(event.action, event.version, event.champion_after, event.state) for event in history(self.name)]
        promoted = [("promote", str(number), str(number), "finished") for number in (1, 2, 3)]
        if self.command == "register":
            (version,) = self.client.search_model_versions(f"name='{self.name}'")
            (classifier,) = self.client.search_model_versions(f"name='{self.name}-classifier'")
            assert version.tags[champion.REGISTRATION_TAG] == champion.COMPLETE
            assert version.tags[stored.CLASSIFIER_TAG] == str(classifier.version)
            assert aliases(self.client, self.name) == {"challenger": int(version.version)}
            assert events == [("register", str(version.version), None, "finished")]
        elif self.command == "promote":
            assert aliases(self.client, self.name) == {"challenger": 2, "champion": 2}
            assert aliases(self.client, f"{self.name}-classifier") == {"champion": 2}
            assert events == promoted[:2]
            assert self.client.get_model_version(self.name, "2").tags["lesiongen.decision"] == "PROMOTE"
        else:
            assert aliases(self.client, self.name) == {"challenger": 3, "champion": 2}
            assert aliases(self.client, f"{self.name}-classifier") == {"champion": 2}
            assert events == [*promoted, ("rollback", "3", "2", "finished")]
        assert verify_history(self.name).findings == ()
        assert self.client.search_registered_models(f"name LIKE '{self.name}{LOCK_SUFFIX}%'") == []


@pytest.fixture
def trial(passing, client, proxy, stack_environment):
    return lambda command: Trial(command, passing, client, proxy, stack_environment)


def meet(trial, fault):
    """Lets a command meet a fault, and repeats it where its user would. Returns how it ended."""
    outcome = trial.run(fault)
    assert outcome == "killed" if fault[0] in (KILL_BEFORE, KILL_AFTER) else outcome in ("done", "refused")
    trial.assert_sound()
    told = outcome == "done" or (fault[0] == KILL_AFTER and fault[1] == len(trial.proxy.requests))
    if trial.command == "rollback" and told:  # repeated, it goes back further
        return outcome
    trial.repeat()
    trial.assert_done_once()
    return outcome


def undisturbed_requests(trial):
    assert trial.run() == "done"
    trial.assert_done_once()
    return list(trial.proxy.requests)


def writes(requests):
    return [number for number, line in enumerate(requests, 1) if not line.startswith("GET")]


@pytest.mark.parametrize("command", ["register", "promote", "rollback"])
def test_a_command_killed_where_it_matters_is_carried_out_once(trial, command):
    requests = undisturbed_requests(trial(command))
    changes = ("model-versions/create", "alias", "registered-models/set-tag", "registered-models/delete")
    changing = [number for number in writes(requests) if requests[number - 1].endswith(changes)]
    for at in changing[:-1]:  # the last one is the end of the command
        meet(trial(command), (KILL_AFTER, at))


def test_a_rollback_that_failed_halfway_and_is_repeated_goes_back_once(trial):
    requests = undisturbed_requests(trial("rollback"))
    for at in writes(requests):
        if requests[at - 1].endswith(("alias", "set-tag")):
            meet(trial("rollback"), (GONE_AFTER, at))


def test_a_creation_whose_answer_is_lost_is_not_repeated(trial):
    requests = undisturbed_requests(trial("register"))
    creations = [at for at in writes(requests) if requests[at - 1].endswith("model-versions/create")]
    assert len(creations) == 2
    for at in creations:
        assert meet(trial("register"), (LOSE_ANSWER, at)) == "done"


@pytest.mark.faults
@pytest.mark.parametrize("command", ["register", "promote", "rollback"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_request_meets_the_fault(trial, command, fault, capsys):
    requests = undisturbed_requests(trial(command))
    killed = fault in (KILL_BEFORE, KILL_AFTER)
    # What only reads changes nothing on the server.
    tried = points(list(range(1, len(requests) + 1)) if killed else writes(requests), step=10)
    for at in tried:
        meet(trial(command), (fault, at))
    with capsys.disabled():
        print(f"\n{command}, {fault}: {len(tried)} of {len(requests)} requests tried, {len(tried)} survived")
