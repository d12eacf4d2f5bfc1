"""Switches in the store: what a second process reads, and the line each change leaves in the audit."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from nightdesk.autonomy.switches import ANYWHERE, Scope, Switch
from nightdesk.hub.store import Store, audit, switches
from nightdesk.sdk.testing.cases import CASE_TIME

ALL = Switch(ANYWHERE, Scope.ALL)
ACME = Switch("acme", Scope.TENANT)
RULE = Switch("acme", Scope.RULE, "r1/host.isolate")


def stop(store: Store, switch: Switch, by: str = "ann", reason: str = "drill", minutes: int = 0) -> None:
    at = CASE_TIME + timedelta(minutes=minutes)
    with store.begin() as conn:
        switches.stop(conn, switch, by=by, reason=reason, at=at)


def start(store: Store, switch: Switch, *, ask: str = "", by: str = "") -> None:
    with store.begin() as conn:
        before = switches.position(conn, switch, hold=True)
        assert before is not None
        if ask:
            switches.ask_to_start(conn, before, by=ask, reason="over", at=CASE_TIME)
        if by:
            switches.start(conn, before, by=by, reason="over", at=CASE_TIME + timedelta(hours=1))


def stopped(store: Store, tenant: str) -> list[Switch]:
    with store.read() as conn:
        return [one.switch for one in switches.positions(conn, tenant)]


def test_nothing_is_stopped_at_first(store: Store) -> None:
    assert stopped(store, "acme") == []
    with store.read() as conn:
        assert switches.position(conn, ACME) is None
        assert switches.history(conn, "acme") == []


def test_a_tenant_reads_its_own_switches_and_the_installations(store: Store) -> None:
    for switch in (ACME, RULE, ALL, Switch("umbrella", Scope.TENANT), Switch("acm", Scope.TENANT)):
        stop(store, switch)
    assert stopped(store, "acme") == [ALL, RULE, ACME]
    assert stopped(store, "initech") == [ALL]


def test_a_started_switch_is_known_and_no_longer_stops(store: Store) -> None:
    stop(store, ACME)
    start(store, ACME, ask="bob", by="cyd")
    assert stopped(store, "acme") == []
    with store.read() as conn:
        (known,) = switches.known(conn, "acme")
    assert (known.stopped, known.changed_by, known.reason, known.asked_by) == (False, "cyd", "over", "")
    assert known.changed_at == CASE_TIME + timedelta(hours=1)


def test_a_wish_to_start_changes_nothing_but_itself(store: Store) -> None:
    stop(store, ACME)
    start(store, ACME, ask="bob")
    with store.read() as conn:
        (known,) = switches.known(conn, "acme")
    assert (known.stopped, known.changed_by, known.reason, known.asked_by) == (True, "ann", "drill", "bob")


def test_stopped_again_by_a_person_a_wish_to_start_is_over(store: Store) -> None:
    stop(store, ACME)
    start(store, ACME, ask="bob")
    stop(store, ACME, by="dan", reason="not yet", minutes=5)
    with store.read() as conn:
        (known,) = switches.known(conn, "acme")
    assert (known.changed_by, known.reason, known.asked_by) == ("dan", "not yet", "")


def test_the_engine_does_not_take_a_persons_stop_over_but_a_person_does_the_engines(store: Store) -> None:
    stop(store, ACME)
    stop(store, ACME, by="engine", reason="brake", minutes=1)
    stop(store, ALL, by="engine", reason="brake")
    stop(store, ALL, by="ann", minutes=1)
    with store.read() as conn:
        assert [one.changed_by for one in switches.positions(conn, "acme")] == ["ann", "ann"]
        assert len(switches.history(conn, "acme")) == 1


def test_every_change_is_a_line_of_the_audit_of_its_tenant(store: Store) -> None:
    stop(store, RULE, reason="it closed\0 too much")
    start(store, RULE, ask="bob", by="cyd")
    stop(store, ALL)
    with store.begin() as conn:
        audit.append(conn, tenant="acme", at=CASE_TIME, actor="x", event="case.close", detail={})
    with store.read() as conn:
        lines = switches.history(conn, "acme")
        assert [(line.event, line.actor) for line in lines] == [
            ("switch.started", "cyd"),
            ("switch.start_asked", "bob"),
            ("switch.stopped", "ann"),
        ]
        assert lines[-1].detail == {"scope": "rule", "subject": "r1/host.isolate", "reason": "it closed\0 too much"}
        assert [line.event for line in switches.history(conn, ANYWHERE)] == ["switch.stopped"]
        assert audit.verify(conn, "acme") == audit.verify(conn, ANYWHERE) == []
        assert len(switches.history(conn, "acme", limit=1)) == 1


def test_a_change_that_is_rolled_back_leaves_neither_switch_nor_line(store: Store) -> None:
    def killed(conn: Connection) -> None:
        switches.stop(conn, ACME, by="ann", reason="drill", at=CASE_TIME)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        store.transact(killed)
    assert stopped(store, "acme") == []
    with store.read() as conn:
        assert switches.history(conn, "acme") == []
