"""What is in force over HTTP, on a real hub and a simulated vendor: who may, what is refused, and what the vendor does.

Law 4 (on disk before it is answered), law 5 (undone is read back), law 3 (another tenant's is not there).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from tests.desks import CASE, TENANT, Desktop
from tests.hubs import browsing

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.reversal import UNDOABLE
from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.hub import keeping, switching, takeback
from nightdesk.hub.setup import private_file
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing import StoryDevice

S = ActionState
_TOKENS = {"ann": "analyst", "bob": "approver", "ada": "admin", "vera": "viewer", "feed": "service"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desktop]:
    for name in _TOKENS:
        private_file(tmp_path / "secrets" / f"token.{name}", f"token-{name}\n".encode())
    tokens = {name: {"role": role, "secret": f"file:secrets/token.{name}"} for name, role in _TOKENS.items()}
    with ExitStack() as stack:
        made = Desktop(stack, tmp_path, ["edr"], tokens=tokens)
        made.simulators["edr"].add_devices([StoryDevice("dev-2", "ws-0043", ("192.0.2.43",))])
        yield made


@pytest.fixture
def ask(desk: Desktop) -> Any:
    with browsing(desk.hub) as client:

        def send(method: str, path: str, who: str, **options: Any) -> Any:
            return client.request(method, f"/v1{path}", headers={"Authorization": f"Bearer token-{who}"}, **options)

        yield send


def undo(ask: Any, action: Action, who: str = "ann", **body: Any) -> Any:
    return ask("POST", f"/actions/{action.action_id}/undo", who, json={"reason": "false alarm", **body})


def renew(ask: Any, desk: Desktop, action: Action, who: str = "ann", hours: float = 4.0, **body: Any) -> Any:
    until = (desk.time.clock() + timedelta(hours=hours)).isoformat()
    return ask("POST", f"/actions/{action.action_id}/renew", who, json={"until": until, **body})


def elsewhere(desk: Desktop, action: Action) -> Action:
    """The same action, in the same state, of another tenant."""
    theirs = replace(action, tenant="umbrella", action_id="act-theirs", idempotency_key="theirs")
    return desk.hub.journal.create(theirs, actor="ann")


@pytest.mark.parametrize("who", ["ann", "bob", "ada"])
def test_an_undo_is_journalled_answered_and_then_reaches_the_vendor(desk: Desktop, ask: Any, who: str) -> None:
    """Laws 4 and 5: what is answered is on disk and nothing more; undone is what the vendor's own state shows."""
    made = desk.contain()
    assert desk.isolated() == {"ws-0042"}
    answer = undo(ask, made, who)
    assert (answer.status_code, answer.json()["state"]) == (202, "undo_requested")
    assert desk.isolated() == {"ws-0042"}
    assert desk.action(made).state is S.UNDO_REQUESTED
    (line,) = [one for one in desk.hub.journal.history(TENANT, made.action_id) if one.state is S.UNDO_REQUESTED]
    assert (line.actor, line.detail["note"]) == (who, "false alarm")
    desk.work(60, until=lambda: desk.action(made).state is S.UNDONE)
    assert desk.isolated() == set()
    told = undo(ask, made, who).json()
    assert (told["state"], told["said"]) == ("undone", "undone and read back")
    assert ask("GET", "/leases", who).json() == {"tenant": TENANT, "leases": []}


def test_twice_is_the_same_answer_and_one_undo(desk: Desktop, ask: Any) -> None:
    made = desk.contain()
    first, second = undo(ask, made), undo(ask, made, "bob", reason="another word")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    states = [one.state for one in desk.hub.journal.history(TENANT, made.action_id)]
    assert states.count(S.UNDO_REQUESTED) == 1


def test_two_people_at_once_ask_for_one_undo(desk: Desktop, ask: Any) -> None:
    made, gate = desk.contain(), Barrier(2)

    def one(who: str) -> Any:
        gate.wait()
        return undo(ask, made, who)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(one, ("ann", "bob")))
    assert [(one.status_code, one.json()["state"]) for one in answers] == [(202, "undo_requested")] * 2
    states = [one.state for one in desk.hub.journal.history(TENANT, made.action_id)]
    assert states.count(S.UNDO_REQUESTED) == 1


@pytest.mark.parametrize(
    "switch",
    [
        Switch(ANYWHERE, Scope.ALL),
        Switch(TENANT, Scope.TENANT),
        Switch(TENANT, Scope.VENDOR_ACTION, "crowdstrike_falcon/host.release"),
    ],
    ids=str,
)
def test_no_stop_stands_in_the_way_of_an_undo(desk: Desktop, ask: Any, switch: Switch) -> None:
    made = desk.contain()
    switching.stop(desk.store, switch, by="ada", reason="drill")
    assert undo(ask, made).status_code == 202
    desk.work(60, until=lambda: desk.action(made).state is S.UNDONE)
    assert desk.isolated() == set()


@pytest.mark.parametrize(("who", "status"), [("vera", 403), ("feed", 403), ("nobody", 401)])
def test_only_people_who_act_take_back_or_keep(desk: Desktop, ask: Any, who: str, status: int) -> None:
    made = desk.contain()
    answers = [undo(ask, made, who), renew(ask, desk, made, who)]
    assert [one.status_code for one in answers] == [status] * 2
    assert {one.headers["content-type"] for one in answers} == {"application/problem+json"}
    assert desk.action(made) == made


@pytest.mark.parametrize(("who", "status"), [("vera", 200), ("feed", 403), ("nobody", 401)])
def test_who_sees_the_console_sees_the_list(desk: Desktop, ask: Any, who: str, status: int) -> None:
    desk.contain()
    assert ask("GET", "/leases", who).status_code == status


def test_what_is_held_is_listed_in_the_order_of_the_command(desk: Desktop, ask: Any) -> None:
    forever, soon = desk.contain(lease=None, case_id=CASE), desk.contain("ws-0043", lease=timedelta(minutes=30))
    elsewhere(desk, soon)
    found = ask("GET", "/leases", "vera").json()["leases"]
    ours = [soon.action_id, forever.action_id]
    assert [one["action_id"] for one in found] == ours
    assert found[0]["case_id"] == CASE
    assert found[0]["instance"] == "edr"
    assert datetime.fromisoformat(found[0]["ends_at"]) == soon.lease_until
    assert (found[1]["ends_at"], found[1]["seconds_left"]) == (None, None)
    desk.simulators["edr"].faults.add("missing_scope")
    undo(ask, forever)
    desk.work(30, until=lambda: desk.action(forever).state is S.UNDO_FAILED)
    first, second = ask("GET", "/leases", "vera").json()["leases"]
    assert [first["action_id"], second["action_id"]] == ours[::-1]
    assert first["state"] == "undo_failed"
    assert first["said"].startswith("not undone: ")


@pytest.mark.parametrize("path", ["undo", "renew"])
def test_another_tenants_action_is_as_absent_as_none(desk: Desktop, ask: Any, path: str) -> None:
    """Law 3."""
    theirs = elsewhere(desk, desk.contain())
    until = (desk.time.clock() + timedelta(hours=8)).isoformat()
    body = {"undo": {"reason": "x"}, "renew": {"until": until}}[path]
    answers = [ask("POST", f"/actions/{one}/{path}", "ada", json=body) for one in (theirs.action_id, "act-nobody")]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].text.replace(theirs.action_id, "act-nobody") == answers[1].text
    assert desk.action(theirs) == theirs


def test_what_cannot_be_undone_is_refused_in_the_engines_words(desk: Desktop, ask: Any) -> None:
    made = desk.contain()
    waiting = desk.hub.engine.propose(TENANT, "host.scan", made.target, requested_by="ann", case_id=CASE)
    answer = undo(ask, waiting)
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert answer.json()["detail"].startswith("host.scan cannot be undone: ")
    again = desk.hub.engine.propose(TENANT, "host.isolate", made.target, requested_by="ann", case_id="CASE-2026-000009")
    assert undo(ask, again).json()["detail"] == f"{again.action_id} is awaiting_approval: cancel it"
    assert desk.action(again).state is S.AWAITING_APPROVAL


def test_a_lease_is_kept_longer_once_by_each(desk: Desktop, ask: Any) -> None:
    made = desk.contain()
    kept = renew(ask, desk, made, reason="still being cleaned")
    assert (kept.status_code, kept.json()["state"]) == (200, "renewed")
    assert datetime.fromisoformat(kept.json()["lease_until"]) == desk.time.clock() + timedelta(hours=4)
    line = desk.hub.journal.history(TENANT, made.action_id)[-1]
    assert line.actor == "ann"
    assert line.detail["note"].endswith(": still being cleaned")
    refused = renew(ask, desk, made, hours=8)
    assert refused.status_code == 409
    assert refused.json()["detail"].endswith("ann renewed it last time: a second renewal takes another person")
    assert renew(ask, desk, made, "bob", hours=8).status_code == 200
    (row,) = ask("GET", "/leases", "vera").json()["leases"]
    assert row["renewed_by"] == "bob"
    desk.work(5 * 3600)
    assert desk.isolated() == {"ws-0042"}


@pytest.mark.parametrize(("hours", "said"), [(0.5, "must end later than"), (-1, "must end later than")])
def test_an_end_that_is_no_later_is_refused_in_the_engines_words(
    desk: Desktop, ask: Any, hours: float, said: str
) -> None:
    made = desk.contain()
    answer = renew(ask, desk, made, hours=hours)
    assert answer.status_code == 409
    assert said in answer.json()["detail"]
    assert desk.action(made) == made


def test_what_is_not_leased_is_not_kept(desk: Desktop, ask: Any) -> None:
    forever = desk.contain(lease=None)
    answer = renew(ask, desk, forever)
    assert answer.status_code == 409
    assert answer.json()["detail"].endswith("is effective: only a running lease can be renewed")


@pytest.mark.parametrize(
    ("until", "said"),
    [
        (timedelta(hours=8784, seconds=1), "a lease ends 36 s to 366 days from now"),
        (timedelta(seconds=35), "a lease ends 36 s to 366 days from now"),
        ("2026-11-22T10:00:00", "timezone"),
        ("for ever", "valid datetime"),
        (None, "valid datetime"),
    ],
)
def test_an_end_out_of_the_commands_bounds_is_a_clear_answer(desk: Desktop, ask: Any, until: Any, said: str) -> None:
    """Law 12: the same bounds as ``nightdesk renew --hours``."""
    made = desk.contain()
    given = (desk.time.clock() + until).isoformat() if isinstance(until, timedelta) else until
    answer = ask("POST", f"/actions/{made.action_id}/renew", "ann", json={"until": given})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert said in answer.json()["detail"]
    assert desk.action(made) == made


def test_an_end_is_taken_in_whatever_zone_it_is_given(desk: Desktop, ask: Any) -> None:
    made = desk.contain()
    until = desk.time.clock() + timedelta(hours=4)
    given = until.astimezone(timezone(timedelta(hours=-9))).isoformat()
    answer = ask("POST", f"/actions/{made.action_id}/renew", "ann", json={"until": given})
    assert answer.status_code == 200
    (row,) = ask("GET", "/leases", "vera").json()["leases"]
    assert datetime.fromisoformat(row["ends_at"]) == until.astimezone(UTC)


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": "x" * 1001}, {"reason": "x", "force": 1}]
)
def test_an_undo_says_why_and_nothing_else(desk: Desktop, ask: Any, body: Any) -> None:
    made = desk.contain()
    assert ask("POST", f"/actions/{made.action_id}/undo", "ann", json=body).status_code == 422
    assert desk.action(made) == made


def test_only_what_should_be_gone_is_stuck(desk: Desktop, ask: Any) -> None:
    """A lease that has just run out is not: its undo is under way, and nobody is called for it."""
    made = desk.contain()
    assert made.lease_until is not None
    store, end = desk.store, made.lease_until

    def found(at: datetime, tenant: str = TENANT) -> list[str]:
        return [one.action_id for one in keeping.stuck(store, tenant, at)]

    assert found(end - timedelta(seconds=1)) == []
    assert found(end + timedelta(seconds=59)) == []
    assert found(end + timedelta(seconds=60)) == [made.action_id]
    assert found(end + timedelta(days=1), "umbrella") == []
    desk.simulators["edr"].faults.add("missing_scope")
    undo(ask, made)
    desk.work(30, until=lambda: desk.action(made).state is S.UNDO_FAILED)
    assert found(desk.time.clock()) == [made.action_id]


class Overtaken:
    """The desk's engine, before which somebody else gets ahead, as often as it is told."""

    def __init__(self, desk: Desktop, first: Callable[[Action], object], times: int = 1) -> None:
        self._desk = desk
        self._first = first
        self._times = times

    def renew(self, action: Action, until: datetime, actor: str, reason: str = "") -> Action:
        if self._times:
            self._times -= 1
            self._first(self._desk.action(action))
        return self._desk.hub.engine.renew(action, until, actor, reason)


def test_who_is_overtaken_is_judged_by_how_it_stands_then(desk: Desktop) -> None:
    """Not by a copy that was read before: bob's renewal stands, and ann's comes on top of it."""
    made, now = desk.contain(), desk.time.clock()

    def bob(action: Action) -> object:
        return desk.hub.engine.renew(action, now + timedelta(hours=2), "bob")

    engine: Any = Overtaken(desk, bob)
    kept = keeping.keep_longer(
        desk.store, engine, TENANT, made.action_id, now + timedelta(hours=8), by="ann", reason="x"
    )
    assert kept is not None
    assert kept.lease_until == now + timedelta(hours=8)
    by = [one.actor for one in desk.hub.journal.history(TENANT, made.action_id) if one.state is S.RENEWED]
    assert by == ["bob", "ann"]


def test_an_undo_that_came_first_ends_the_renewal(desk: Desktop) -> None:
    made, now = desk.contain(), desk.time.clock()
    engine: Any = Overtaken(desk, lambda action: desk.hub.engine.request_undo(action, actor="bob"))
    with pytest.raises(PolicyError, match="is undo_requested: only a running lease can be renewed"):
        keeping.keep_longer(desk.store, engine, TENANT, made.action_id, now + timedelta(hours=8), by="ann")
    assert desk.action(made).state is S.UNDO_REQUESTED


def test_what_a_newer_wish_contradicted_is_no_trouble_of_its_own(desk: Desktop) -> None:
    """Its lease ends nothing any more: it is in the list, and nobody is called to it by every page."""
    made = desk.contain()
    later = desk.hub.engine.contradict(made, "released by a newer wish", actor="engine")
    assert later.lease_until is not None
    at = later.lease_until + timedelta(days=1)
    assert [one.action_id for _, one in keeping.in_force(desk.store, TENANT, at)] == [made.action_id]
    assert keeping.stuck(desk.store, TENANT, at) == []


def test_the_states_of_the_list_are_those_of_the_command() -> None:
    assert takeback.UNDOABLE == keeping.HELD > UNDOABLE
