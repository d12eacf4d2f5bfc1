from datetime import timedelta
from typing import Any

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.radius import FAMILIES, Bucket
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.contained import contained
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME
from nightdesk.sdk.verbs import TargetKind

NOW = CASE_TIME
HOSTS = FAMILIES[Bucket.HOST]


def an_action(number: int, minutes: float = 0, **fields: Any) -> Action:
    given: dict[str, Any] = {"tenant": "acme", "verb": "host.isolate", "approval": "policy", **fields}
    at = NOW - timedelta(minutes=minutes)
    return Action(
        action_id=f"act-{number:03d}",
        target=given.pop("target", Target.parse(f"host:ws-{number}")),
        generation=1,
        idempotency_key=f"key-{number}",
        state=ActionState.PROPOSED,
        created_at=at,
        updated_at=at,
        requested_by="autonomy",
        **given,
    )


def stored(store: Store, action: Action, *states: ActionState) -> Action:
    journal = SqlJournal(store)
    action = journal.create(action, actor="test")
    for state in states:
        changes: dict[str, Any] = {"requested_at": action.created_at} if state is ActionState.REQUESTED else {}
        action = journal.move(action, state, at=action.created_at, actor="test", detail={}, **changes)
    return action


APPROVED = (ActionState.APPROVED,)
SENT = (ActionState.APPROVED, ActionState.REQUESTED)


def counts(store: Store, action: Action, families: tuple[str, ...] = HOSTS) -> tuple[int, int]:
    with store.read() as conn:
        return tuple(contained(conn, action, families, NOW))  # type: ignore[return-value]  # a pair


def test_what_was_sent_counts_by_when_it_was_sent(store: Store) -> None:
    for number, minutes in enumerate((1, 59, 61, 23 * 60, 25 * 60), 1):
        stored(store, an_action(number, minutes), *SENT)
    assert counts(store, an_action(99)) == (2, 4)


def test_a_target_counts_once_and_its_own_not_at_all(store: Store) -> None:
    stored(store, an_action(1, 5), *SENT)
    stored(store, an_action(2, 4, verb="host.restrict_execution", target=Target.parse("host:ws-1")), *SENT)
    assert counts(store, an_action(99)) == (1, 1)
    assert counts(store, an_action(98, target=Target.parse("host:ws-1"))) == (0, 0)


def test_what_one_host_or_account_feels_counts_as_one(store: Store) -> None:
    on_one = [
        Target(TargetKind.PROCESS, "a.exe", {"hostname": "WS-1", "pid": "7"}),
        Target(TargetKind.PROCESS, "a.exe", {"hostname": "ws-1", "pid": "8"}),
    ]
    for number, target in enumerate(on_one, 1):
        stored(store, an_action(number, 5, verb="process.suspend", target=target), *SENT)
    elsewhere = Target(TargetKind.PROCESS, "a.exe", {"hostname": "ws-2", "pid": "7"})
    stored(store, an_action(3, 5, verb="process.suspend", target=elsewhere), *SENT)
    assert counts(store, an_action(99)) == (2, 2)
    assert counts(store, an_action(98, target=Target.parse("host:ws-1"))) == (1, 1)
    assert counts(store, an_action(97, verb="process.suspend", target=on_one[0])) == (1, 1)
    accounts = FAMILIES[Bucket.ACCOUNT]
    stored(store, an_action(4, 5, verb="account.disable", target=Target.parse("account:JDoe")), *SENT)
    stored(store, an_action(5, 5, verb="credential.revoke", target=Target.parse("credential:jdoe/KEY")), *SENT)
    assert counts(store, an_action(96, verb="account.disable", target=Target.parse("account:ann")), accounts) == (1, 1)


def test_a_request_of_the_future_counts_and_one_of_just_an_hour_ago_does_not(store: Store) -> None:
    for number, minutes in enumerate((-30, 60, 24 * 60), 1):
        stored(store, an_action(number, minutes), *SENT)
    assert counts(store, an_action(99)) == (1, 2)


def test_what_never_went_out_does_not_count(store: Store) -> None:
    stored(store, an_action(1, 5))
    stored(store, an_action(2, 5), ActionState.AWAITING_APPROVAL)
    stored(store, an_action(3, 5), ActionState.REJECTED)
    stored(store, an_action(4, 5), *APPROVED, ActionState.CANCELLED)
    stored(store, an_action(5, 5, approval="direct"), *APPROVED)
    assert counts(store, an_action(99)) == (0, 0)


def test_older_wishes_that_wait_to_be_sent_come_first_and_younger_ones_do_not(store: Store) -> None:
    older, younger = stored(store, an_action(1, 5), *APPROVED), stored(store, an_action(2, 4), *APPROVED)
    assert counts(store, younger) == (1, 1)
    assert counts(store, older) == (0, 0)
    twins = [stored(store, an_action(number, 3), *APPROVED) for number in (3, 4)]
    assert [counts(store, one)[0] for one in twins] == [2, 3]


def test_other_tenants_and_other_sorts_are_left_out(store: Store) -> None:
    stored(store, an_action(1, 5, tenant="globex"), *SENT)
    stored(store, an_action(2, 5, verb="account.disable", target=Target.parse("account:jdoe")), *SENT)
    stored(store, an_action(3, 5, verb="host.scan"), *SENT)
    assert counts(store, an_action(99)) == (0, 0)
    assert counts(store, an_action(99), FAMILIES[Bucket.ACCOUNT]) == (1, 1)
