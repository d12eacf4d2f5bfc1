"""Watches the tenants in which a new policy decides, stops it there and everywhere, and looks at its closures again.

What is looked at stands in the store, so a restart loses nothing: counts are made again, a review goes on where it was.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, func, select

from nightdesk.autonomy.actions import ActionState
from nightdesk.autonomy.ledger import ENGINE
from nightdesk.autonomy.rollout import Rollout, Watched, breach
from nightdesk.autonomy.switches import everything_stopped
from nightdesk.hub.config import TenantSettings
from nightdesk.hub.policies import rolling
from nightdesk.hub.policies.judged import judged_attacks
from nightdesk.hub.policies.standing import Standing, plain
from nightdesk.hub.store import Store, decisions, rollouts, switches
from nightdesk.hub.store.codec import decode_decision, load, moment, stamp
from nightdesk.hub.store.regroup import ask_again
from nightdesk.hub.store.schema import OVER, canary, verdict_label
from nightdesk.hub.store.schema import action as action_table
from nightdesk.hub.store.schema import decision as decision_table
from nightdesk.sdk.case import Decision, Mode, Outcome
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import PolicyError

__all__ = ["RolloutWatch", "failing_share", "look"]

Tell = Callable[[str, str, str], None]
"""Says to the people of a tenant: (tenant, about, text)."""

_log = structlog.get_logger(__name__)
_PAGE = 500
_SLOW = timedelta(seconds=10)
_S = ActionState
_FAILED = frozenset({_S.FAILED, _S.UNVERIFIED, _S.CONTRADICTED, _S.UNDO_FAILED})
_ENDED = frozenset({*map(ActionState, OVER), _S.EFFECTIVE, _S.LEASED, _S.RENEWED, _S.UNDONE, *_FAILED})
_DONE = -1


@dataclass(slots=True)
class _Seen:
    """What one tenant's decisions said up to ``seq``."""

    seq: int = 0
    decisions: int = 0
    closes: int = 0
    overridden: dict[str, None] = field(default_factory=dict)


class RolloutWatch:
    """One hub's. ``once`` is blocking; the pipeline's thread calls it between its steps."""

    def __init__(
        self,
        store: Store,
        tenants: Mapping[str, TenantSettings],
        standing: Standing,
        clock: Clock,
        *,
        tell: Tell,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._standing = standing
        self._clock = clock
        self._tell = tell
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._next = datetime.min.replace(tzinfo=clock().tzinfo)

    def once(self) -> int:
        """Looks once; returns how many cases are to be decided again. Told is what was stopped, and by what."""
        with self._store.read() as conn:
            rollout = rollouts.current(conn)
            if rollout is None:
                return 0
            if rollout.on:
                found = self._breach(conn, rollout)
        if not rollout.on:
            return self._look_again(rollout)
        if found is not None:
            self._stop(rollout, *found)
        return 0

    def _breach(self, conn: Connection, rollout: Rollout) -> tuple[str, str] | None:
        now = self._clock()
        slow = now >= self._next
        if slow:
            self._next = now + _SLOW
        for slug in rollout.entered:
            tenant = self._tenants.get(slug)
            if tenant is None or not rollout.decides(slug, plain(tenant.policy).sha256):
                continue  # another process has it, or the configuration goes before it
            seen = self._seen.setdefault((rollout.rollout_id, slug), _Seen())
            watched = look(conn, rollout, slug, seen, slow=slow)
            found = self._standing.verified(conn, rollout, tenant)
            why = breach(rollout, slug, replace(watched, unverified=found if isinstance(found, str) else ""))
            if why:
                return slug, why
        return None

    def _stop(self, rollout: Rollout, slug: str, why: str) -> None:
        try:
            over = rolling.stop(self._store, by=ENGINE, reason=f"{slug}: {why}", only=rollout.rollout_id)
        except PolicyError:
            return  # somebody else was first
        _log.error("rollout stopped", tenant=slug, policy=over.policy_id, version=over.version, reason=why)
        for tenant in over.entered:
            # Another tenant's trouble is its own: the others hear that it is over.
            text = why if tenant == slug else "stopped because of what happened elsewhere"
            said = f"the policy {over.policy_id} {over.version} no longer decides: {text}"
            self._tell(tenant, over.rollout_id, said)

    def _look_again(self, rollout: Rollout) -> int:
        """Has the policies of before decide again what the stopped one closed; a page a time."""
        for slug in rollout.entered:
            if slug not in self._tenants or rollout.reviewed.get(slug, 0) == _DONE:
                continue
            with self._store.begin() as conn:
                held = rollouts.hold(conn)
                if held is None or held.rollout_id != rollout.rollout_id or held.on:
                    return 0
                after = held.reviewed.get(slug, 0)
                rows = _since(conn, slug, held.since.get(slug, held.started_at), after)
                told = [decode_decision(record) for _, record in rows]
                closed = sorted({one.case_id for one in told if _closed_by(one, held.sha256)})
                latest = decisions.latest_decisions(conn, slug, closed)
                again = [name for name, one in latest.items() if _closed_by(one, held.sha256)]
                for case_id in again:
                    ask_again(conn, slug, case_id, self._clock())
                place = _DONE if len(rows) < _PAGE else rows[-1][0]
                rollouts.keep(conn, replace(held, reviewed={**held.reviewed, slug: place}), self._clock())
            return len(again) + (place != _DONE)
        return 0


def look(conn: Connection, rollout: Rollout, tenant: str, seen: _Seen | None = None, *, slow: bool = True) -> Watched:
    """What happened there since the policy began to decide; ``seen`` is carried on, ``slow`` looks at everything."""
    seen = seen if seen is not None else _Seen()
    since = rollout.since.get(tenant, rollout.started_at)
    while rows := _since(conn, tenant, since, seen.seq):
        for seq, record in rows:
            seen.seq = seq
            _count(conn, rollout, tenant, seq, decode_decision(record), seen)
        if len(rows) < _PAGE:
            break
    standing = switches.positions(conn, tenant)
    killed = "; ".join(one.reason for one in standing) if everything_stopped(standing) else ""
    watched = Watched(seen.decisions, seen.closes, tuple(seen.overridden), killed=killed)
    if not slow:
        return watched
    actions, failed = _actions(conn, tenant, since, None)
    labelled = _labelled(conn, rollout, tenant, since)
    return replace(
        watched,
        overridden=tuple(dict.fromkeys((*watched.overridden, *labelled))),
        canaries=_missed(conn, tenant, since),
        actions=actions,
        failed=failed,
    )


def failing_share(conn: Connection, tenant: str, since: datetime, until: datetime) -> float:
    """The share of a tenant's actions of that time that ended badly; 0 of none."""
    actions, failed = _actions(conn, tenant, since, until)
    return failed / actions if actions else 0.0


def _count(conn: Connection, rollout: Rollout, tenant: str, seq: int, told: Decision, seen: _Seen) -> None:
    if told.mode is Mode.HUMAN:
        if told.outcome is Outcome.CLOSE:
            return
        before = _machines_last(conn, tenant, told.case_id, seq)
        if before is not None and _closed_by(before, rollout.sha256):
            seen.overridden[told.case_id] = None
    elif told.policy_sha256 == rollout.sha256:
        seen.decisions += 1
        seen.closes += told.outcome is Outcome.CLOSE


def _closed_by(told: Decision, sha256: str) -> bool:
    return told.mode is not Mode.HUMAN and told.outcome is Outcome.CLOSE and told.policy_sha256 == sha256


def _since(conn: Connection, tenant: str, since: datetime, after: int) -> Sequence[tuple[int, bytes]]:
    table = decision_table.c
    statement = select(table.seq, table.record).where(
        table.tenant == tenant, table.seq > after, table.decided_at >= stamp(since)
    )
    return [(row.seq, row.record) for row in conn.execute(statement.order_by(table.seq).limit(_PAGE))]


def _machines_last(conn: Connection, tenant: str, case_id: str, before: int) -> Decision | None:
    """The newest decision that a machine made of the case before that one."""
    table = decision_table.c
    statement = select(table.record).where(table.tenant == tenant, table.case_id == case_id, table.seq < before)
    for record in conn.execute(statement.order_by(table.seq.desc())).scalars():
        told = decode_decision(record)
        if told.mode is not Mode.HUMAN:
            return told
    return None


def _labelled(conn: Connection, rollout: Rollout, tenant: str, since: datetime) -> list[str]:
    """Cases that people called an attack since then and that the policy had closed."""
    table = verdict_label.c
    statement = select(table.case_id).where(table.tenant == tenant, table.at >= stamp(since)).distinct()
    said = judged_attacks(conn, tenant, list(conn.execute(statement).scalars()))
    found = []
    for case_id in said:
        last = _machines_last(conn, tenant, case_id, 1 << 62)
        if last is not None and _closed_by(last, rollout.sha256):
            found.append(case_id)
    return found


def _missed(conn: Connection, tenant: str, since: datetime) -> tuple[str, ...]:
    """Planted attacks that were closed since then."""
    table = canary.c
    statement = select(table.canary_id, table.body).where(table.tenant == tenant, table.state == "missed")
    return tuple(
        row.canary_id
        for row in conn.execute(statement.order_by(table.canary_id))
        if moment(str(load(row.body)["settled_at"])) >= since
    )


def _actions(conn: Connection, tenant: str, since: datetime, until: datetime | None) -> tuple[int, int]:
    """How many actions of a machine's decisions ended, and how many of them badly."""
    table = action_table.c
    statement = select(table.state, func.count()).where(
        table.tenant == tenant, table.created_at >= stamp(since), table.decision_id != ""
    )
    if until is not None:
        statement = statement.where(table.created_at < stamp(until))
    counts = {ActionState(state): number for state, number in conn.execute(statement.group_by(table.state))}
    ended = sum(number for state, number in counts.items() if state in _ENDED)
    return ended, sum(number for state, number in counts.items() if state in _FAILED)
