"""A hub with a real store and invented cases, for everything that looks at it over HTTP."""

import asyncio
import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
from fastapi import FastAPI
from tests.stores import prepared

from nightdesk.autonomy.actions import Action, ActionState
from nightdesk.autonomy.asking import unlisted
from nightdesk.autonomy.playbooks.library import bundled
from nightdesk.autonomy.switches import Switch
from nightdesk.hub.api.app import create_app
from nightdesk.hub.api.view import Principal, Role
from nightdesk.hub.config import HubSettings
from nightdesk.hub.notices import Notices
from nightdesk.hub.playbooks.service import Playbooks
from nightdesk.hub.store import Store
from nightdesk.hub.store.actions import SqlJournal
from nightdesk.hub.store.alerts import put_alerts
from nightdesk.hub.store.cases import CaseWrite, put_cases
from nightdesk.hub.store.decisions import put_decisions
from nightdesk.sdk.case import (
    Alert,
    CaseStatus,
    Check,
    Decision,
    Entity,
    EntityKind,
    Mode,
    Outcome,
    Proposal,
    Verdict,
)
from nightdesk.sdk.context import Network
from nightdesk.sdk.targets import Target

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
START = NOW - timedelta(minutes=47)

PRINCIPALS = {
    "north-viewer": Principal("north", "vera", Role.VIEWER),
    "north-admin": Principal("north", "ada", Role.ADMIN),
    "north-feed": Principal("north", "feed", Role.SERVICE),
    "north-bound": Principal("north", "forwarder", Role.SERVICE, instance="siem-events"),
    "south-viewer": Principal("south", "sven", Role.VIEWER),
    "south-feed": Principal("south", "feed", Role.SERVICE),
}


@dataclasses.dataclass
class StageHub:
    """The hub's HTTP face over a real store; time stands still unless a test moves it."""

    store: Store
    now: datetime = NOW
    principals: dict[str, Principal] = dataclasses.field(default_factory=lambda: dict(PRINCIPALS))
    receivers: dict[tuple[str, str], tuple[object, str, str]] = dataclasses.field(default_factory=dict)
    feeds: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    absent: frozenset[str] = frozenset()
    woken: int = 0
    approvals: Any = None
    openc2: Any = None  # nothing here is commanded
    engine: Any = None  # nothing here is taken back
    oversight: Any = dataclasses.field(default_factory=lambda: SimpleNamespace(rules=unlisted))
    notices: Notices = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.notices = Notices(self.store, self.clock)

    @property
    def playbooks(self) -> Playbooks:
        return Playbooks(HubSettings("", "", "", 0, Network(), {}), self.store, bundled(), self.clock)

    def clock(self) -> datetime:
        return self.now

    def receiver(self, tenant: str, instance: str) -> tuple[object, str, str] | None:
        return self.receivers.get((tenant, instance))

    def authenticate(self, token: str) -> Principal | None:
        return self.principals.get(token)

    def principal(self, tenant: str, name: str) -> Principal | None:
        found = [held for held in self.principals.values() if (held.tenant, held.name) == (tenant, name)]
        return found[0] if found else None

    def missing(self, switch: Switch) -> str:
        return f"there is no {switch.owner!r}" if switch.owner in self.absent else ""

    def health(self) -> Mapping[str, Any]:
        return {"feeds": self.feeds}

    def wake(self) -> None:
        self.woken += 1


class Site:
    """A browser-like client: keeps cookies, follows nothing by itself."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.cookies = httpx.Cookies()

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def work() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://hub.example.test", cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(work())

    def get(self, path: str, token: str = "", **options: Any) -> httpx.Response:
        return self.send("GET", path, headers=_bearer(token, options), **options)

    def post(self, path: str, token: str = "", **options: Any) -> httpx.Response:
        return self.send("POST", path, headers=_bearer(token, options), **options)

    def sign_in(self, token: str) -> "Site":
        answer = self.send("POST", "/console/login", data={"token": token})
        assert answer.status_code == 303, answer.text
        return self


def _bearer(token: str, options: dict[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = dict(options.pop("headers", {}))
    return {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}


def open_stage(folder: Path) -> StageHub:
    """A hub over a new database file."""
    return StageHub(Store.open(prepared(f"sqlite:///{folder / 'hub.db'}"), synchronous="NORMAL", clock=lambda: NOW))


def site(hub: StageHub, **options: Any) -> Site:
    """A client of an application over that hub."""
    return Site(create_app(hub, session_key=b"k" * 32, **options))


def alert(number: int, *, tenant: str = "north", **changes: Any) -> Alert:
    """One invented alert; later numbers are later."""
    at = START + timedelta(minutes=number)
    made = Alert(
        tenant=tenant,
        alert_id=f"incident--00000000-0000-5000-8000-{number:012d}",
        instance="edr-main",
        product="acme_edr",
        native_id=f"det-{number}",
        title="Encoded PowerShell started by a document",
        created=at,
        modified=at,
        first_seen=at,
        last_seen=at,
        severity_id=4,
        confidence=80,
        description="winword.exe started powershell.exe with an encoded command line.",
        rule_id="R-1041",
        rule_name="Office child process with encoded command",
        techniques=("T1059.001", "T1566.001"),
        tactics=("TA0002",),
        entities=(
            Entity(EntityKind.HOST, "ws-0042", "victim-host", facts={"platform": "Windows"}),
            Entity(EntityKind.ACCOUNT, "example\\j.doe", "victim-user"),
            Entity(EntityKind.PROCESS, "powershell.exe"),
            Entity(EntityKind.ADDRESS, "203.0.113.77", "attacker-address"),
        ),
        console_url="https://edr.example.com/detections/1",
    )
    return dataclasses.replace(made, **changes)


def store_case(
    hub: StageHub,
    case_id: str,
    alerts: list[Alert],
    *,
    title: str = "Encoded PowerShell on ws-0042",
    status: CaseStatus = CaseStatus.ESCALATED,
    updated_at: datetime | None = None,
) -> None:
    """One case with these alerts, through the store's own functions."""
    tenant = alerts[0].tenant
    opened, newest = alerts[0].first_seen, updated_at or alerts[-1].first_seen
    with hub.store.begin() as conn:
        put_alerts(conn, [(number + 1, item, _bundle(item), b"[]") for number, item in enumerate(alerts)])
        write = CaseWrite(
            tenant=tenant,
            case_id=case_id,
            title=title,
            status=status,
            severity_id=max(item.severity_id for item in alerts),
            opened_at=opened,
            updated_at=newest,
            new_alert_ids=[item.alert_id for item in alerts],
            entity_keys=sorted({entity.key for item in alerts for entity in item.entities}),
        )
        put_cases(conn, [write])


def _bundle(item: Alert) -> bytes:
    shared = {"type": "identity", "spec_version": "2.1", "id": "identity--1", "name": "Acme", "modified": "2026"}
    own = {"type": "incident", "spec_version": "2.1", "id": item.alert_id, "name": item.title, "modified": "2026"}
    return orjson.dumps({"type": "bundle", "id": f"bundle--{item.native_id}", "objects": [shared, own]})


def decision(case_id: str, number: int = 1, *, tenant: str = "north", **changes: Any) -> Decision:
    """One invented decision, two minutes after the start and later."""
    made = Decision(
        tenant=tenant,
        decision_id=f"decision-{tenant}-{case_id}-{number}",
        case_id=case_id,
        decided_at=START + timedelta(minutes=2 * number),
        outcome=Outcome.PROPOSE_CONTAINMENT,
        verdict=Verdict.LIKELY_TRUE_POSITIVE,
        mode=Mode.AUTONOMOUS,
        reason_code="containment_rule_matched",
        reasons=("A signed rule proposes isolation: an office program started an encoded shell.",),
        checks=(
            Check("severity_floor", True, "4", "< 5"),
            Check("asset_is_known", True, "workstation"),
            Check("protected_asset", True, "no", "no"),
            Check("blast_radius", False, "3 hosts this hour", "<= 2"),
        ),
        policy_id="north-policy",
        policy_version="7",
        policy_sha256="ab" * 32,
        inputs={"alerts": 3},
        proposals=(Proposal("host.isolate", "host:ws-0042"),),
    )
    return dataclasses.replace(made, **changes)


def decide(hub: StageHub, *made: Decision) -> None:
    """Records decisions."""
    with hub.store.begin() as conn:
        put_decisions(conn, made)


def act(
    hub: StageHub, case_id: str, *moves: tuple[ActionState, dict[str, Any]], tenant: str = "north", **changes: Any
) -> Action:
    """One action with its life so far, each move a minute after the one before."""
    journal = SqlJournal(hub.store)
    at = START + timedelta(minutes=5)
    values: dict[str, Any] = {
        "tenant": tenant,
        "action_id": f"action-{case_id}-{changes.get('verb', 'host.isolate')}",
        "verb": "host.isolate",
        "target": Target.parse("host:ws-0042"),
        "generation": 1,
        "idempotency_key": f"{tenant}-{case_id}-{changes.get('verb', 'host.isolate')}",
        "state": ActionState.PROPOSED,
        "created_at": at,
        "updated_at": at,
        "instance": "edr-main",
        "case_id": case_id,
        "reason": "proposed by the decision",
        "requested_by": "autonomy",
    }
    action = journal.create(Action(**{**values, **changes}), actor="autonomy")
    for state, more in moves:
        at += timedelta(minutes=1)
        actor = more.pop("actor", "engine")
        detail = more.pop("detail", {})
        action = journal.move(action, state, at=at, actor=actor, detail=detail, **more)
    return action


def isolated(hub: StageHub, case_id: str) -> Action:
    """A host isolated, read back, and on lease."""
    at = START + timedelta(minutes=5)
    return act(
        hub,
        case_id,
        (ActionState.AWAITING_APPROVAL, {}),
        (ActionState.APPROVED, {"actor": "ada", "approved_by": "ada"}),
        (
            ActionState.REQUESTED,
            {"requested_at": at + timedelta(minutes=3), "pre_state": {"isolation": "none", "online": True}},
        ),
        (ActionState.ACCEPTED, {"accepted_at": at + timedelta(minutes=4), "detail": {"native_action_id": "7731"}}),
        (
            ActionState.EFFECTIVE,
            {
                "effective_at": at + timedelta(minutes=5),
                "changed": True,
                "result": {"isolation": "full", "observed_at": "2026-11-22T19:23:01Z"},
                "detail": {"native_state": "isolated"},
            },
        ),
        (ActionState.LEASED, {"lease_until": NOW + timedelta(hours=3)}),
    )


def furnish(hub: StageHub) -> None:
    """A small shift's worth of cases in the tenant north, and one in south."""
    noisy = [
        alert(number, severity_id=3, title="Beacon-like connection", rule_name="Periodic outbound traffic")
        for number in (3, 4, 6, 7)
    ]
    dropped = alert(
        8,
        severity_id=5,
        title="Credential store read from memory",
        instance="edr-main",
        techniques=("T1003.001",),
        entities=(
            Entity(EntityKind.HOST, "ws-0042", "victim-host"),
            Entity(EntityKind.ACCOUNT, "example\\j.doe", "victim-user"),
            Entity(EntityKind.PROCESS, "rundll32.exe", "malicious-process"),
            Entity(EntityKind.FILE, "sha256:" + "4f" * 32, "malicious-file"),
            Entity(EntityKind.DOMAIN, "updates.cdn.example.net", "attacker-domain"),
        ),
    )
    store_case(hub, "ND-2026-000001", [alert(1), alert(2), *noisy, dropped], updated_at=NOW - timedelta(minutes=4))
    decide(
        hub,
        decision(
            "ND-2026-000001",
            1,
            outcome=Outcome.ESCALATE,
            reasons=("No signed rule covers this combination of techniques.",),
            proposals=(),
        ),
        decision("ND-2026-000001", 2),
    )
    isolated(hub, "ND-2026-000001")
    act(
        hub,
        "ND-2026-000001",
        (ActionState.AWAITING_APPROVAL, {}),
        verb="account.disable",
        target=Target.parse("account:example\\j.doe"),
        instance="directory",
    )
    act(
        hub,
        "ND-2026-000001",
        (ActionState.APPROVED, {"approved_by": "policy"}),
        (ActionState.REQUESTED, {"requested_at": START + timedelta(minutes=7)}),
        (ActionState.ACCEPTED, {"accepted_at": START + timedelta(minutes=8)}),
        (ActionState.UNVERIFIED, {"error": "the firewall accepted the block, but its rule list does not show it yet"}),
        verb="ip.block",
        target=Target.parse("address:203.0.113.77"),
        instance="firewall",
        approval="policy",
    )
    quiet = [
        ("ND-2026-000002", "Scanner from the vulnerability team", 2, CaseStatus.CLOSED, Outcome.CLOSE, "scan-01"),
        ("ND-2026-000003", "Many failed sign-ins for a service account", 3, CaseStatus.WAITING, Outcome.HOLD, "dc-02"),
        ("ND-2026-000004", "Macro blocked in a spreadsheet", 2, CaseStatus.OPEN, Outcome.RECOMMEND, "ws-0117"),
        ("ND-2026-000005", "New administrator outside the change window", 4, CaseStatus.ESCALATED, None, "ws-0009"),
    ]
    why = {
        Outcome.CLOSE: "Signed rule: traffic of the vulnerability scanner in its window.",
        Outcome.HOLD: "Would close, held until its group has been quiet for 300 s.",
        Outcome.RECOMMEND: "The control worked and nothing ran; the level of this rule is recommend.",
    }
    for number, (case_id, title, severity, status, outcome, host) in enumerate(quiet, start=20):
        made = alert(
            number, title=title, severity_id=severity, entities=(Entity(EntityKind.HOST, host, "victim-host"),)
        )
        store_case(hub, case_id, [made], title=title, status=status)
        if outcome is not None:
            verdict = Verdict.BENIGN_POSITIVE if outcome is Outcome.CLOSE else Verdict.LIKELY_FALSE_POSITIVE
            decide(
                hub,
                decision(
                    case_id,
                    outcome=outcome,
                    verdict=verdict,
                    reasons=(why[outcome],),
                    proposals=(),
                    checks=(Check("severity_floor", True, str(severity), "< 5"), Check("quiet_window", True)),
                ),
            )
    store_case(hub, "ND-2026-000900", [alert(1, tenant="south", title="Only for south")], title="Only for south")
