"""Who may stop and start: one person, two persons, never a program, and never one person twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightdesk.autonomy.approvals import Person, Rules
from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.store import Store, switches
from nightdesk.hub.switching import Started, start, stop
from nightdesk.sdk.errors import PolicyError
from nightdesk.sdk.testing.fake_time import FakeTime

ACME = Switch("acme", Scope.TENANT)
ALL = Switch(ANYWHERE, Scope.ALL)
PEOPLE = {
    (tenant, name): Principal(tenant, name, role)
    for tenant, name, role in (
        ("acme", "vic", Role.VIEWER),
        ("acme", "ann", Role.ANALYST),
        ("acme", "abe", Role.APPROVER),
        ("acme", "amy", Role.APPROVER),
        ("acme", "ada", Role.ADMIN),
        ("acme", "ado", Role.ADMIN),
        ("acme", "bot", Role.SERVICE),
        ("umbrella", "ada", Role.ADMIN),
        ("umbrella", "uma", Role.ADMIN),
        ("umbrella", "abe", Role.APPROVER),
    )
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/nightdesk.db", synchronous="NORMAL")
    yield opened
    opened.close()


@pytest.fixture
def people() -> dict[tuple[str, str], Principal]:
    return dict(PEOPLE)


def go(
    store: Store,
    name: str,
    switch: Switch = ACME,
    tenant: str = "acme",
    people: dict[tuple[str, str], Principal] = PEOPLE,
) -> Started:
    by = people[tenant, name]
    return start(store, switch, by=by, reason="over", known=lambda *key: people.get(key))


def is_stopped(store: Store, tenant: str = "acme") -> bool:
    with store.read() as conn:
        return bool(switches.positions(conn, tenant))


def test_one_person_stops_and_two_start(store: Store) -> None:
    stop(store, ACME, by="ann", reason="drill")
    first = go(store, "abe")
    assert not first.running
    assert first.position.asked_by == "abe"
    assert is_stopped(store)
    second = go(store, "ada")
    assert second.running
    assert not is_stopped(store)


@pytest.mark.parametrize("name", ["abe", "ABE", " abe", "ａｂｅ"])
def test_one_person_cannot_be_both(store: Store, name: str) -> None:
    people = {**PEOPLE, ("acme", name): Principal("acme", name, Role.ADMIN)}
    stop(store, ACME, by="ann", reason="drill")
    go(store, "abe")
    with pytest.raises(PolicyError, match="another person has to confirm"):
        go(store, name, people=people)
    assert is_stopped(store)


@pytest.mark.parametrize("switch", [ACME, ALL])
def test_an_account_of_a_listed_person_is_that_person(store: Store, switch: Switch) -> None:
    listed = {"umbrella": Rules(people={"abe": Person("abe", "approver", {"chat": "A.Bell"})})}
    people = {**PEOPLE, ("acme", "a.bell"): Principal("acme", "a.bell", Role.ADMIN)}
    home = "umbrella" if switch is ALL else "acme"
    rules = listed if switch is ALL else {"acme": listed["umbrella"]}

    def word(tenant: str, name: str) -> Started:
        return start(
            store,
            switch,
            by=people[tenant, name],
            reason="over",
            known=lambda *key: people.get(key),
            rules=lambda tenant: rules.get(tenant, Rules(people={})),
        )

    stop(store, switch, by="ann", reason="drill")
    word(home, "abe")
    with pytest.raises(PolicyError, match="another person has to confirm"):
        word("acme", "a.bell")
    assert is_stopped(store)
    assert word("acme", "ada").running


def test_two_approvers_without_an_admin_are_not_enough(store: Store) -> None:
    stop(store, ACME, by="ann", reason="drill")
    go(store, "abe")
    with pytest.raises(PolicyError, match="has to be an admin"):
        go(store, "amy")
    assert is_stopped(store)
    assert go(store, "ado").running


def test_an_admin_may_ask_first(store: Store) -> None:
    stop(store, ACME, by="ann", reason="drill")
    go(store, "ada")
    assert go(store, "amy").running


@pytest.mark.parametrize("name", ["vic", "ann", "bot"])
@pytest.mark.parametrize("asked", [False, True])
def test_no_viewer_analyst_or_program_starts(store: Store, name: str, asked: bool) -> None:
    stop(store, ACME, by="ann", reason="drill")
    if asked:
        go(store, "ada")
    with pytest.raises(PolicyError, match="it takes two of admin or approver"):
        go(store, name)
    assert is_stopped(store)


@pytest.mark.parametrize("by", ["", " ", "engine", "policy", "autonomy"])
def test_no_machine_stops_in_a_persons_name(store: Store, by: str) -> None:
    with pytest.raises(PolicyError, match="is no person"):
        stop(store, ACME, by=by, reason="drill")
    assert not is_stopped(store)


def test_nobody_stops_or_starts_without_saying_why(store: Store) -> None:
    with pytest.raises(PolicyError, match="say why"):
        stop(store, ACME, by="ann", reason=" ")
    stop(store, ACME, by="ann", reason="drill")
    with pytest.raises(PolicyError, match="say why"):
        start(store, ACME, by=PEOPLE["acme", "ada"], reason="", known=lambda *key: PEOPLE.get(key))


def test_the_word_of_one_who_was_revoked_meanwhile_no_longer_counts(store: Store) -> None:
    people = dict(PEOPLE)
    stop(store, ACME, by="ann", reason="drill")
    go(store, "abe", people=people)
    del people["acme", "abe"]
    assert not go(store, "ada", people=people).running
    assert is_stopped(store)
    people["acme", "ada"] = Principal("acme", "ada", Role.VIEWER)
    assert not go(store, "ado", people=people).running
    assert go(store, "amy", people=people).running


@pytest.mark.parametrize(("hours", "running"), [(24, True), (24.01, False)])
def test_a_word_to_start_that_waited_for_a_day_is_over(tmp_path: Path, hours: float, running: bool) -> None:
    time = FakeTime()
    store = Store.open(f"sqlite:///{tmp_path}/timed.db", synchronous="NORMAL", clock=time.clock)
    stop(store, ACME, by="ann", reason="drill")
    go(store, "abe")
    time.advance(hours * 3600)
    assert go(store, "ada").running is running
    assert is_stopped(store) is not running
    if not running:
        assert go(store, "abe").running, "ada's word is the first one now"
    store.close()


def test_a_person_of_another_tenant_starts_nothing_here(store: Store) -> None:
    stop(store, ACME, by="ann", reason="drill")
    with pytest.raises(PolicyError, match="uma belongs to umbrella"):
        go(store, "uma", tenant="umbrella")


def test_what_is_not_stopped_is_not_started(store: Store) -> None:
    with pytest.raises(PolicyError, match="is not stopped"):
        go(store, "ada")
    stop(store, ACME, by="ann", reason="drill")
    go(store, "abe")
    go(store, "ada")
    with pytest.raises(PolicyError, match="is not stopped"):
        go(store, "ada")


def test_a_second_stop_ends_the_wish_to_start(store: Store) -> None:
    stop(store, ACME, by="ann", reason="drill")
    go(store, "abe")
    stop(store, ACME, by="amy", reason="not yet")
    assert not go(store, "ada").running
    assert is_stopped(store)


def test_the_installation_is_started_by_two_people_and_a_name_at_two_tenants_is_one(store: Store) -> None:
    stop(store, ALL, by="operator", reason="drill")
    assert go(store, "ada", ALL).position.asked_by == "acme/ada"
    with pytest.raises(PolicyError, match="another person"):
        go(store, "ada", ALL, tenant="umbrella")
    assert is_stopped(store)
    assert go(store, "abe", ALL, tenant="umbrella").running
    assert not is_stopped(store)


def test_starting_one_switch_leaves_the_others(store: Store) -> None:
    stop(store, ACME, by="ann", reason="drill")
    stop(store, Switch("umbrella", Scope.TENANT), by="uma", reason="drill")
    stop(store, ALL, by="ann", reason="drill")
    go(store, "abe")
    go(store, "ada")
    with store.read() as conn:
        assert [one.switch for one in switches.positions(conn, "acme")] == [ALL]
    assert is_stopped(store, "umbrella")
