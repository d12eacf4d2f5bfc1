"""Cases that are one are made one, and a case that is two is taken apart: every alert stays, and caution only grows.

What a merge or split leaves is at least as cautious as what went in (law 7): the graver severity, and a person's case
stays a person's.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from nightdesk.autonomy.correlate import Assignment
from nightdesk.autonomy.grouping import entity_of, rule_of
from nightdesk.autonomy.matching import severity_rank
from nightdesk.hub.store import Store, audit, cases
from nightdesk.hub.store.groups import move_groups
from nightdesk.hub.store.links import CaseLink, Relation, parted, put_link, standing
from nightdesk.hub.store.regroup import ask_again, hand_over, move_alerts, settle
from nightdesk.sdk.case import Alert, Case, CaseStatus
from nightdesk.sdk.errors import PolicyError

__all__ = ["CORRELATION", "merge", "merge_cases", "split_case", "title_of", "unite"]

CORRELATION = "correlation"
"""The actor of merges that an alert's entities show."""

_LARGEST = 2_000  # alerts of one merged case: beyond it nobody sees more in one case than in two
_ORDER = (CaseStatus.CLOSED, CaseStatus.WAITING, CaseStatus.NEW, CaseStatus.OPEN, CaseStatus.ESCALATED)


def title_of(group: Sequence[Alert]) -> str:
    """A case is called after its gravest alert and the host it happened on."""
    gravest = max(group, key=lambda alert: (alert.severity_id if alert.severity_id <= 6 else 0, alert.alert_id))
    host = next((entity.value for entity in gravest.entities if entity.kind == "host"), "")
    return f"{gravest.title} on {host}" if host and host not in gravest.title.lower() else gravest.title


def unite(conn: Connection, tenant: str, assignments: Sequence[Assignment], at: datetime) -> Mapping[str, str]:
    """Merges the open cases that this page shows to be one; each that went away, with the one that stands for it.

    Not merged are what is closed, what a person took apart, and what would have more alerts than anybody reads.
    """
    into: dict[str, str] = {}

    def now(case_id: str) -> str:
        while case_id in into:
            case_id = into[case_id]
        return case_id

    known = cases.cases(
        conn, tenant, {one for each in assignments if each.joins for one in (each.case_id, *each.joins)}
    )
    for one in assignments:
        for other in map(now, one.joins):
            target = now(one.case_id)
            if other == target or not _may_unite(conn, known[target], known[other]):
                continue
            shared = ", ".join(one.keys[:3]) or "alerts of one page"
            reason = f"alert {one.alert_id} belongs to both ({shared})"
            merge(conn, known[target], known[other], at=at, actor=CORRELATION, reason=reason)
            known[target] = cases.cases(conn, tenant, [target])[target]
            into[other] = target
    return {case_id: now(case_id) for case_id in into}


def _may_unite(conn: Connection, one: Case, other: Case) -> bool:
    return (
        CaseStatus.CLOSED not in {one.status, other.status}
        and len(one.alerts) + len(other.alerts) <= _LARGEST
        and not parted(conn, one.tenant, one.case_id, other.case_id)
    )


def merge(conn: Connection, target: Case, other: Case, *, at: datetime, actor: str, reason: str) -> None:
    """The alerts of ``other`` join ``target``; ``other`` is closed, empty, and leads there. Decide ``target`` again."""
    tenant = target.tenant
    hand_over(conn, tenant, other.case_id, target.case_id)
    settle(
        conn,
        tenant,
        target.case_id,
        status=max(target.status, other.status, key=_ORDER.index),
        severity_id=max(target.severity_id, other.severity_id, key=severity_rank),
        opened_at=min(target.opened_at, other.opened_at),
        updated_at=at,
    )
    settle(
        conn,
        tenant,
        other.case_id,
        status=CaseStatus.CLOSED,
        severity_id=other.severity_id,
        opened_at=other.opened_at,
        updated_at=at,
    )
    put_link(conn, CaseLink(tenant, other.case_id, target.case_id, Relation.MERGED_INTO, at, actor, reason))
    detail = {"into": target.case_id, "from": other.case_id, "alerts": len(other.alerts), "reason": reason}
    audit.append(conn, tenant=tenant, at=at, actor=actor, event="case.merged", detail=detail)


def merge_cases(store: Store, tenant: str, into: str, others: Sequence[str], *, by: str, reason: str) -> str:
    """A person says that these are one; the case they are now. Raises PolicyError naming what cannot be merged."""
    _said(by, reason)

    def work(conn: Connection) -> str:
        at = store.clock()
        target = _case(conn, tenant, into)
        for name in others:
            other = _case(conn, tenant, name)
            if other.case_id == target.case_id:
                raise PolicyError(f"{tenant}: {name} and {into} are one case already ({target.case_id})")
            merge(conn, target, other, at=at, actor=by, reason=reason)
            target = _case(conn, tenant, target.case_id)
        ask_again(conn, tenant, target.case_id, at)
        return target.case_id

    return store.transact(work)


def split_case(store: Store, tenant: str, case_id: str, alert_ids: Collection[str], *, by: str, reason: str) -> str:
    """These alerts become a case of their own, which is named; both are decided again. Raises PolicyError."""
    _said(by, reason)

    def work(conn: Connection) -> str:
        at = store.clock()
        before = _case(conn, tenant, case_id)
        leaving = [alert for alert in before.alerts if alert.alert_id in set(alert_ids)]
        staying = [alert for alert in before.alerts if alert.alert_id not in set(alert_ids)]
        strange = sorted(set(alert_ids) - {alert.alert_id for alert in leaving})
        if strange:
            raise PolicyError(f"{tenant}: {before.case_id} has no alert {', '.join(strange)}; `cases show` lists them")
        if not leaving or not staying:
            raise PolicyError(f"{tenant}: a split leaves at least one alert on either side of {before.case_id}")
        (new,) = cases.new_case_ids(conn, tenant, [at])
        cases.put_cases(
            conn,
            [
                cases.CaseWrite(
                    tenant=tenant,
                    case_id=new,
                    title=title_of(leaving),
                    status=before.status,
                    severity_id=before.severity_id,
                    opened_at=before.opened_at,
                    updated_at=at,
                    entity_keys=_keys(leaving),
                    last_seen=max(alert.last_seen for alert in leaving),
                )
            ],
        )
        move_alerts(conn, tenant, before.case_id, new, [alert.alert_id for alert in leaving], _keys(staying))
        move_groups(conn, tenant, before.case_id, new, _units(leaving) - _units(staying))
        for name in (before.case_id, new):
            settle(
                conn,
                tenant,
                name,
                status=before.status,
                severity_id=before.severity_id,
                opened_at=before.opened_at,
                updated_at=at,
            )
            ask_again(conn, tenant, name, at)
        put_link(conn, CaseLink(tenant, new, before.case_id, Relation.SPLIT_FROM, at, by, reason))
        detail = {"from": before.case_id, "new": new, "alerts": sorted(alert_ids), "reason": reason}
        audit.append(conn, tenant=tenant, at=at, actor=by, event="case.split", detail=detail)
        return new

    return store.transact(work)


def _keys(alerts: Sequence[Alert]) -> list[str]:
    return list(dict.fromkeys(entity.key for alert in alerts for entity in alert.entities))


def _units(alerts: Sequence[Alert]) -> set[tuple[str, str]]:
    return {(entity_of(alert), rule_of(alert)) for alert in alerts}


def _case(conn: Connection, tenant: str, case_id: str) -> Case:
    found = cases.case(conn, tenant, standing(conn, tenant, case_id))
    if found is None:
        raise PolicyError(f"{tenant}: there is no case {case_id}; `nightdesk cases --tenant {tenant}` lists them")
    return found


def _said(by: str, reason: str) -> None:
    if not by.strip() or by == CORRELATION:
        raise PolicyError(f"{by or 'nobody'} is no person: say who merges or splits")
    if not reason.strip():
        raise PolicyError("say why: it is what the next person reads")
