"""Reads recorded cases out of a store: what was told and done for a role, stripped of every vendor."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection

from nightdesk.autonomy.actions import Action
from nightdesk.hub.store import queries
from nightdesk.hub.swap.recorded import (
    RecordedAccount,
    RecordedAction,
    RecordedAlert,
    RecordedCase,
    RecordedCases,
    RecordedDevice,
    RecordedProcess,
)
from nightdesk.sdk.case import Alert, Entity
from nightdesk.sdk.verbs import TargetKind, verb

__all__ = ["record"]

_MOST = 500
_SEVERITIES: dict[int, Literal["informational", "low", "medium", "high", "critical"]] = {
    1: "informational",
    2: "low",
    3: "medium",
    4: "high",
    5: "critical",
    6: "critical",
}
_ABOUT_ACCOUNTS = frozenset({TargetKind.ACCOUNT, TargetKind.MEMBERSHIP, TargetKind.CREDENTIAL})


def record(conn: Connection, tenant: str, role: str, *, since: datetime) -> RecordedCases | None:
    """The cases since then in which something was done by that role; None when there are none."""
    found: list[RecordedCase] = []
    for row in queries.case_list(conn, tenant, limit=_MOST):
        if row.updated_at < since:
            continue
        page = queries.case_page(conn, tenant, row.case_id)
        if page is None:
            continue
        actions = [one for one in page.actions if verb(one.verb).role == role and one.accepted_at is not None]
        first_halves = [one for one in actions if verb(one.verb).name == verb(one.verb).family]
        if first_halves:
            found.append(_case(row.case_id, page.case.title, page.case.alerts, first_halves))
    return RecordedCases(role=role, cases=tuple(found)) if found else None


def _case(case_id: str, title: str, alerts: Iterable[Alert], actions: list[Action]) -> RecordedCase:
    told = sorted(alerts, key=lambda alert: alert.first_seen)
    first = told[0].first_seen if told else None
    return RecordedCase(
        case=case_id,
        title=title,
        devices=tuple({device.hostname: device for device in _devices(told, actions)}.values()),
        accounts=tuple({account.name: account for account in _accounts(actions)}.values()),
        alerts=tuple(_alert(alert, (alert.first_seen - first).total_seconds() if first else 0.0) for alert in told),
        actions=tuple(
            RecordedAction(verb=one.verb, target=one.target.key, facts=_facts(one), parameters=dict(one.parameters))
            for one in actions
        ),
    )


def _facts(action: Action) -> dict[str, str]:
    """What names the target without naming a vendor: its device or account id there is left out."""
    return {name: text for name, text in action.target.facts.items() if name in {"hostname", "pid", "path", "email"}}


def _devices(alerts: Iterable[Alert], actions: Iterable[Action]) -> Iterator[RecordedDevice]:
    for alert in alerts:
        for entity in alert.entities:
            if entity.kind == "host":
                kind = entity.facts.get("asset_type", "")
                yield RecordedDevice(
                    hostname=entity.value,
                    addresses=tuple(filter(None, [entity.facts.get("address", "")])),
                    asset_type="server" if kind == "server" else "workstation",
                )
    for action in actions:
        host = action.target.value if action.target.kind is TargetKind.HOST else action.target.facts.get("hostname", "")
        if host:
            yield RecordedDevice(hostname=host)


def _accounts(actions: Iterable[Action]) -> Iterator[RecordedAccount]:
    for action in actions:
        target = action.target
        if target.kind in _ABOUT_ACCOUNTS:
            name = target.account.partition("@")[0].rpartition("\\")[2]
            yield RecordedAccount(
                name=name,
                email=target.account if "@" in target.account else f"{name}@rehearsal.example",
                groups=(target.group,) if target.kind is TargetKind.MEMBERSHIP else (),
                key_ids=(target.key_id,) if target.kind is TargetKind.CREDENTIAL else (),
            )


def _alert(alert: Alert, seconds: float) -> RecordedAlert:
    by_kind: dict[str, Entity] = {}
    for entity in alert.entities:
        by_kind.setdefault(str(entity.kind), entity)

    def value(kind: str) -> Any:
        return by_kind[kind].value if kind in by_kind else ""

    process = by_kind.get("process")
    digest = value("file").rpartition(":")[2]
    return RecordedAlert(
        title=alert.title,
        severity=_SEVERITIES.get(alert.severity_id, "medium"),
        rule=alert.rule_name or alert.rule_id or alert.title,
        seconds=max(0.0, seconds),
        host=value("host"),
        user=value("account"),
        process=RecordedProcess(
            name=process.value,
            path=process.facts.get("path", process.value),
            sha256=digest if len(digest) == 64 else "0" * 64,
            command_line=process.facts.get("command_line", ""),
        )
        if process
        else None,
        destination_address=value("address"),
        domain=value("domain"),
        techniques=alert.techniques,
        tactics=alert.tactics,
    )
