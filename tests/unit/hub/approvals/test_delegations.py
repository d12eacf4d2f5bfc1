from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nightdesk.autonomy.approvals import Delegation, Person, Rules
from nightdesk.hub.approvals import delegations
from nightdesk.hub.store import Store, audit
from nightdesk.sdk.errors import PolicyError

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
RULES = Rules(
    people={
        name: Person(name, role)
        for name, role in {"anna": "approver", "ben": "analyst", "carl": "admin", "eve": "viewer"}.items()
    }
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/hub.db", synchronous="NORMAL")
    yield opened
    opened.close()


def hand_on(store: Store, giver: str, taker: str, *, by: str, hours: float = 8, tenant: str = "acme") -> Delegation:
    wanted = Delegation(giver, taker, NOON + timedelta(hours=hours))
    return delegations.delegate(store, RULES, tenant, wanted, by=by, now=NOON)


def held(store: Store, at: datetime = NOON, tenant: str = "acme") -> list[tuple[str, str]]:
    with store.read() as conn:
        return [(one.giver, one.taker) for one in delegations.current(conn, tenant, at)]


def test_it_holds_for_its_time_in_its_tenant_and_is_audited(store: Store) -> None:
    hand_on(store, "Anna", "ben", by="anna")
    assert held(store) == [("anna", "ben")]
    assert held(store, tenant="globex") == []
    assert held(store, NOON + timedelta(hours=8)) == []
    with store.read() as conn:
        (line,) = audit.entries(conn, "acme")
        assert audit.verify(conn, "acme") == []
    assert (line.event, line.actor) == ("approval.delegated", "anna")
    assert (line.detail["from"], line.detail["to"]) == ("anna", "ben")


def test_who_said_so_is_kept_with_it(store: Store) -> None:
    """The vote is judged by it: whoever asks for an action does not choose who answers."""
    made = hand_on(store, "anna", "ben", by="CARL")
    with store.read() as conn:
        assert delegations.current(conn, "acme", NOON) == [made]
    assert made.by == "carl"


def test_another_time_replaces_it_and_others_stay(store: Store) -> None:
    hand_on(store, "anna", "ben", by="anna", hours=8)
    hand_on(store, "carl", "ben", by="carl", hours=8)
    hand_on(store, "anna", "BEN", by="anna", hours=1)
    assert sorted(held(store)) == [("anna", "ben"), ("carl", "ben")]
    assert held(store, NOON + timedelta(hours=2)) == [("carl", "ben")]


def test_the_giver_or_an_admin_ends_it(store: Store) -> None:
    hand_on(store, "anna", "ben", by="carl")
    wanted = Delegation("anna", "ben", NOON)
    with pytest.raises(PolicyError, match="anna or an admin"):
        delegations.withdraw(store, RULES, "acme", wanted, by="ben", now=NOON)
    delegations.withdraw(store, RULES, "acme", wanted, by="anna", now=NOON)
    assert held(store) == []
    with store.read() as conn:
        assert audit.entries(conn, "acme")[-1].event == "approval.delegation_ended"
    with pytest.raises(PolicyError, match="does not stand in"):
        delegations.withdraw(store, RULES, "acme", wanted, by="anna", now=NOON)


@pytest.mark.parametrize(
    ("giver", "taker", "by", "hours", "said"),
    [
        ("anna", "ben", "ben", 8, "anna or an admin"),
        ("anna", "ben", "eve", 8, "anna or an admin"),
        ("anna", "ben", "", 8, "nobody cannot hand on"),
        ("anna", "anna", "anna", 8, "same person"),
        ("anna", "stranger", "anna", 8, "approvals.people"),
        ("ben", "eve", "ben", 8, "nothing to hand on"),
        ("anna", "carl", "carl", 8, "another admin"),
        ("anna", "ben", "anna", 0, "not before now"),
        ("anna", "ben", "anna", 24 * 32, "within 31 days"),
    ],
)
def test_what_nobody_may_hand_on(store: Store, giver: str, taker: str, by: str, hours: float, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        hand_on(store, giver, taker, by=by, hours=hours)
    assert held(store) == []
    with store.read() as conn:
        assert audit.entries(conn, "acme") == []
