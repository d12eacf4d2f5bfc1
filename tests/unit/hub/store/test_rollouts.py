"""A rollout in the store: one row, its text beside it, a line of the audit for whom it concerns; on both engines."""

from dataclasses import replace
from datetime import timedelta

from nightdesk.autonomy.rollout import Margins, Rollout, RolloutState
from nightdesk.hub.policies.past import count, next_decided
from nightdesk.hub.policies.ringwatch import failing_share, look
from nightdesk.hub.store import Store, audit, rollouts
from nightdesk.sdk.testing.cases import CASE_TIME

ROLLOUT = Rollout(
    rollout_id="rollout-1",
    policy_id="p",
    version="2",
    sha256="ab" * 32,
    rings=(("acme",), ("beta",)),
    state=RolloutState.RUNNING,
    reason="why",
    changed_by="acme/abe",
    changed_at=CASE_TIME,
    started_by="acme/abe",
    started_at=CASE_TIME,
    before={"acme": "cd" * 32},
    expected={"acme": 0.25},
    since={"acme": CASE_TIME},
    margins=Margins(closes=0.5, spare=1),
)


def test_what_is_kept_is_read_back(store: Store) -> None:
    with store.read() as conn:
        assert rollouts.current(conn) is None
        assert rollouts.text(conn, ROLLOUT.sha256) is None
    with store.begin() as conn:
        assert rollouts.hold(conn) is None
        rollouts.keep(conn, ROLLOUT, CASE_TIME)
        rollouts.keep_text(conn, ROLLOUT.sha256, rollouts.Text("policy ü\n".encode(), b"[]\n"), CASE_TIME)
    with store.read() as conn:
        assert rollouts.current(conn) == ROLLOUT
        assert rollouts.text(conn, ROLLOUT.sha256) == ("policy ü\n".encode(), b"[]\n")
    over = replace(ROLLOUT.stopped(by="ann", reason="drill", at=CASE_TIME), reviewed={"acme": 7})
    with store.begin() as conn:
        assert rollouts.hold(conn) == ROLLOUT
        rollouts.keep(conn, over, CASE_TIME)
    with store.read() as conn:
        assert rollouts.current(conn) == over


def test_the_installation_hears_everything_and_a_tenant_its_own(store: Store) -> None:
    with store.begin() as conn:
        detail = {"reason": "why"}
        rollouts.note(conn, ROLLOUT, "rollout.started", ["acme"], by="abe", at=CASE_TIME, detail=detail)
    with store.read() as conn:
        (whole,) = audit.entries(conn, "*")
        (mine,) = audit.entries(conn, "acme")
        assert whole.detail["rings"] == [["acme"], ["beta"]]
        assert set(mine.detail) == {"policy_id", "version", "sha256"}
        assert audit.entries(conn, "beta") == []
        assert audit.verify(conn, "*") == audit.verify(conn, "acme") == []


def test_where_nothing_happened_nothing_is_seen(store: Store) -> None:
    with store.read() as conn:
        seen = look(conn, ROLLOUT, "acme")
        assert (seen.decisions, seen.closes, seen.overridden, seen.canaries, seen.killed) == (0, 0, (), (), "")
        assert failing_share(conn, "acme", CASE_TIME, CASE_TIME + timedelta(days=1)) == 0.0
    assert count(store, "acme", CASE_TIME, CASE_TIME + timedelta(days=1)) == 0
    assert next_decided(store, "acme", "case-1", 0) is None
