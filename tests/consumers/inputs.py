"""What the consumers are given: invented alerts of every product that has fixtures, and whole cases."""

import asyncio
import copy
import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from tests.goldens import ACME, fixtures, normalizer

from nightdesk.sdk.case import Alert, CaseStatus, Decision, Mode, Outcome, Verdict
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing.cases import CASE_TIME, a_case
from nightdesk.stix import casework
from nightdesk.stix.builder import AlertBuilder, to_alert
from nightdesk.stix.bundle import bundle_bytes, merge
from nightdesk.stix.header import Header
from nightdesk.stix.normalize import Normalized
from nightdesk.stix.scope import Scope

__all__ = [
    "CONVICTED",
    "RAW",
    "Objects",
    "a_hub_with_a_case",
    "a_whole_case",
    "alert_samples",
    "an_alert",
    "as_bundle",
    "case_of",
    "of_hub",
    "one",
    "samples",
]

Objects = list[dict[str, Any]]

_FORMS_OF_A_PRODUCT = 4
CONVICTED = "198.51.100.24"
RAW = b'{"id": "a-1", "what": "the raw event"}'


def as_bundle(objects: Objects) -> dict[str, Any]:
    """A bundle of these objects, as consumers read it."""
    made: dict[str, Any] = orjson.loads(bundle_bytes(ACME, objects))
    return made


def one(objects: Objects, kind: str) -> dict[str, Any]:
    """The only object of that type."""
    (found,) = (entry for entry in objects if entry["type"] == kind)
    return found


@functools.cache
def _sampled() -> dict[str, tuple[Objects, Alert]]:
    """Of each product that has fixtures, the fullest alert of its first forms, by the fixture's name."""
    fullest: dict[str, dict[str, tuple[int, str, Normalized]]] = {}
    for fixture in fixtures():
        made = normalizer().normalize(fixture.product, fixture.payload, ACME)
        forms = fullest.setdefault(fixture.product, {})
        form = fixture.path.parent.name
        kinds = len({entry["type"] for entry in made.objects})
        if form not in forms or kinds > forms[form][0]:
            forms[form] = (kinds, str(fixture), made)
    chosen = [one_form for forms in fullest.values() for one_form in list(forms.values())[:_FORMS_OF_A_PRODUCT]]
    return {name: (list(made.objects), made.alert) for _, name, made in chosen}


def alert_samples() -> dict[str, Objects]:
    """A few alerts of each product, by the fixture's name."""
    return {name: copy.deepcopy(objects) for name, (objects, _) in _sampled().items()}


def samples() -> dict[str, Objects]:
    """All bundles that every consumer is given: alerts, a case of each product's, an invented one and a hub's own."""
    products: dict[str, dict[str, tuple[Objects, Alert]]] = {}
    for name, (objects, alert) in _sampled().items():
        products.setdefault(name.partition("/")[0], {})[alert.alert_id] = (objects, alert)
    cases = {f"a case of {product}": case_of(*made.values()) for product, made in products.items()}
    return {**alert_samples(), **cases, "a whole case": a_whole_case(), "a hub's case": copy.deepcopy(of_hub())}


def an_alert(
    native_id: str = "a-1", *, scope: Scope = ACME, seconds: float = 90, bare: bool = False, **changes: Any
) -> tuple[Objects, Alert]:
    """A rich alert of an invented product: a process that called a convicted address; ``bare``: none of it."""
    builder = AlertBuilder(scope, product="acme_edr", vendor="ACME", name="ACME EDR")
    if not bare:
        host = builder.asset("d-1", hostname="WS-0042", kind="workstation")
        image = builder.file(path=r"C:\Tools\tool.exe", hashes=["ab" * 32])
        inside, outside = builder.address("10.0.0.5"), builder.address(CONVICTED, role="attacker-address")
        traffic = builder.traffic(
            source=inside, destination=outside, source_port=50123, destination_port=443, protocols=["tcp"]
        )
        builder.url("https://update.example.net/a?b=c")
        domain = builder.domain("update.example.net")
        builder.link(domain, "resolves-to", outside)
        builder.link(outside, "belongs-to", builder.autonomous_system(64500, name="Example Net"))
        builder.traffic(
            source=inside, destination=outside, source_port=50124, destination_port=80, protocols=["tcp", "http"],
            method="GET", target="/a?b=c", user_agent="Invented/1.0",
        )  # fmt: skip
        account = builder.account(login="jdoe", uid="S-1-5-21-1-2-3-1104", account_type="windows-domain")
        builder.email("jdoe@example.com", owner=account)
        builder.mac("02:00:5e:00:53:01")
        builder.software("Windows 11", version="10.0.26100")
        builder.registry_key("HKCU\\Software\\Run", name="tool", data="tool.exe", data_type="REG_SZ")
        builder.process(key=("p-1",), pid=4242, command_line="tool.exe --quiet", image=image, connections=[traffic])
        builder.malware("Inventedware", types=["trojan"])
        builder.indicator(outside)
        builder.technique("T1059.001")
        builder.tactic("execution")
        assert host is not None
    digest = {"sha256": hashlib.sha256(RAW).hexdigest(), "byte_count": len(RAW), "media_type": "application/json"}
    facts: dict[str, Any] = {
        "native_id": native_id,
        "created": CASE_TIME,
        "first": CASE_TIME,
        "last": CASE_TIME + timedelta(seconds=seconds),
        "title": "Unusual tool",
        "severity": "high",
        "native_severity": "7",
        "native_status": "to do",
        "console_url": f"https://console.example.com/alerts/{native_id}",
        "rule": {"rule_id": "r-1", "rule_name": "Unusual tool"},
    }
    objects, told = builder.finish(Header(raw=digest, **{**facts, **changes}))
    return copy.deepcopy(objects), to_alert(told(), tenant="acme", product="acme_edr", caution=(), digest="")


def case_of(*made: tuple[Objects, Alert], scope: Scope = ACME) -> Objects:
    """A case of these alerts with a decision and an isolation, as a hub files it."""
    alerts = [alert for _, alert in made]
    observed = copy.deepcopy(merge(copy.deepcopy(objects) for objects, _ in made))
    case = a_case(alerts, title="Unusual tool on WS-0042", status=CaseStatus.ESCALATED)
    incidents = [alert.alert_id for alert in alerts]
    host = next((entry["id"] for entry in observed if entry.get("name") == "WS-0042"), incidents[0])
    execution = casework.execution(
        scope,
        casework.ActionFacts(
            action_id="act-1", verb="host.isolate", target=Target.parse("host:WS-0042"), target_ref=host,
            state="effective", connector="edr", instance="edr-main", idempotency_key="key-1", decision_id="d-1",
            created_at=CASE_TIME, updated_at=CASE_TIME, requested_at=CASE_TIME,
        ),
    )  # fmt: skip
    decision = Decision(
        tenant="acme", decision_id="d-1", case_id=case.case_id, decided_at=CASE_TIME, outcome=Outcome.ESCALATE,
        verdict=Verdict.LIKELY_TRUE_POSITIVE, mode=Mode.AUTONOMOUS, reason_code="earned", reasons=("Seen before.",),
        checks=(), policy_id="starter", policy_version="1", policy_sha256="ab" * 32,
    )  # fmt: skip
    acts = [casework.course_of_action(scope, "host.isolate"), execution]
    unlisted = {"marking-definition", "extension-definition"}
    opening = scope.opening("case", "decision", "action")
    outside = {scope.hub_ref, *(entry["id"] for entry in opening)}
    members = [
        entry["id"] for entry in (*observed, *acts) if entry["type"] not in unlisted and entry["id"] not in outside
    ]
    said = [
        casework.grouping(scope, case, members, disposition=None),
        casework.note(scope, decision, abstract="Escalated", content="Why.", incidents=incidents, actions=["act-1"]),
        casework.opinion(scope, decision, incidents),
    ]
    made_here = [*acts, *(entry for entry in said if entry)]
    return copy.deepcopy(merge([opening, scope.standing(autonomy=True), observed, made_here]))


def a_whole_case() -> Objects:
    """A case whose alerts share everything but their times: one was seen in an instant, the other for a while."""
    return case_of(an_alert("a-1", seconds=0), an_alert("a-2", seconds=90))


@contextmanager
def a_hub_with_a_case(folder: Path) -> Iterator[tuple[Path, str]]:
    """A configuration and the case that its hub made of a simulated product's alerts, with a device isolated."""
    from tests.hubs import REGISTRY, VENDORS, a_story_alert, bind, opened

    from nightdesk.hub.store import queries
    from nightdesk.sdk.context import utc_now
    from nightdesk.sdk.testing import serve

    vendor = next(
        name
        for name in VENDORS
        if "host.isolate" in REGISTRY.manifests[name].acts and "alerts" in REGISTRY.manifests[name].pulls
    )
    simulator = REGISTRY.simulator(vendor)()
    stories = [a_story_alert(f"alert-{number}", utc_now(), 0) for number in range(3)]
    for story in stories:
        simulator.add(story)
    device = stories[0].device
    assert device is not None
    simulator.add_devices([device])
    with serve(simulator) as served:
        config = bind(folder / "acme", "acme", {"edr": (simulator, served.base_url)})
        with opened(config) as hub:

            async def go() -> str:
                await hub.once()
                with hub.store.read() as conn:
                    (row,) = queries.case_list(conn, "acme")
                proposed = hub.engine.propose(
                    "acme", "host.isolate", Target.parse(f"host:{device.hostname}"), requested_by="ann",
                    approval="direct", case_id=row.case_id, source_instance="edr",
                )  # fmt: skip
                await hub.engine.advance(proposed)
                await hub.bindings.aclose()
                return row.case_id

            case_id = asyncio.run(go())
        yield config, case_id


@functools.cache
def of_hub() -> Objects:
    """A case as a hub files it."""
    import tempfile

    from tests.hubs import opened

    from nightdesk.hub.casefile import case_bundle
    from nightdesk.hub.store import queries

    with (
        tempfile.TemporaryDirectory() as folder,
        a_hub_with_a_case(Path(folder)) as (config, case_id),
        opened(config) as hub,
        hub.store.begin() as conn,
    ):
        page = queries.case_page(conn, "acme", case_id)
        assert page is not None
        objects: Objects = orjson.loads(case_bundle(conn, hub.settings.tenants["acme"].scope, page))["objects"]
    return objects
