"""A case made of what a person has at hand: short-form alerts, a STIX bundle, or a vendor's own alerts."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from nightdesk.autonomy.canonical import fingerprint
from nightdesk.autonomy.correlate import raised
from nightdesk.hub.policies.suite import ShortAlert
from nightdesk.sdk.case import Alert, Case, CaseStatus, Entity
from nightdesk.sdk.errors import ConfigError, MappingError, Problem
from nightdesk.stix.files import Refused, read_alerts
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.normalize import AUTO, UNMAPPED, Normalizer
from nightdesk.stix.projection import alerts_of
from nightdesk.stix.scope import Scope

__all__ = ["a_scope", "bundle_alerts", "case_of", "last_moment", "raw_alerts", "short_alerts"]


def short_alerts(written: Sequence[ShortAlert], tenant: str, at: datetime) -> list[Alert]:
    """The alerts of a test."""
    return [_alert(one, tenant, f"alert-{number}", at) for number, one in enumerate(written, 1)]


def _alert(one: ShortAlert, tenant: str, name: str, at: datetime) -> Alert:
    when = at + timedelta(seconds=one.seconds)
    return Alert(
        tenant=tenant,
        alert_id=name,
        instance=one.source,
        product=one.product,
        native_id=name,
        title=one.title,
        created=when,
        modified=when,
        first_seen=when,
        last_seen=when,
        severity_id=one.severity_id,
        description=one.description,
        rule_id=one.rule_id,
        rule_name=one.rule_name,
        native_verdict=one.source_verdict,
        closed_at_source=one.closed_at_source,
        disposition=one.disposition,
        techniques=one.techniques,
        tactics=one.tactics,
        entities=tuple(Entity(thing.kind, thing.value, thing.role, facts=thing.facts) for thing in one.entities),
        caution=one.caution,
        content_sha256=fingerprint(one.model_dump(mode="json")),
        source=one.source,
    )


def bundle_alerts(file: Path, tenant: str) -> list[Alert]:
    """The alerts of a STIX bundle. Raises ConfigError."""
    data = _read(file)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ConfigError([Problem(str(file), "", f"is no JSON: {error}")]) from error
    objects = document.get("objects") if isinstance(document, dict) else None
    if not isinstance(objects, list):
        raise ConfigError([Problem(str(file), "objects", "is missing: give a STIX 2.1 bundle")])
    try:
        return alerts_of(objects, tenant, source=file.name)
    except MappingError as error:
        raise ConfigError([Problem(str(file), error.pointer, error.reason)]) from error


def raw_alerts(normalizer: Normalizer, product: str, file: Path, scope: Scope) -> list[Alert]:
    """A vendor's alerts as the hub would read them. Raises ConfigError for what it would set aside."""
    if product not in {AUTO, UNMAPPED, *normalizer.products}:
        there = ", ".join(normalizer.products)
        raise ConfigError([Problem(str(file), "product", f"no product {product!r}: write auto or one of {there}")])
    alerts: list[Alert] = []
    problems: list[Problem] = []
    for _, found in read_alerts(normalizer, product, _read(file), scope, source=file.name):
        if isinstance(found, Refused):
            problems.append(Problem(str(file), found.pointer, f"{found.reason}: the hub would quarantine it"))
        else:
            alerts.append(found.alert)
    if problems or not alerts:
        raise ConfigError(problems or [Problem(str(file), "", "holds no alert")])
    return alerts


def a_scope(tenant: str) -> Scope:
    """A scope for reading alerts without a configuration; its ids are guessable."""
    return Scope(tenant, tenant, TenantKey.derived(tenant))


def last_moment(alerts: Sequence[Alert]) -> datetime:
    """When the last of the alerts was raised, changed or seen."""
    return max(max(one.created, one.modified, one.last_seen) for one in alerts)


def case_of(
    alerts: Sequence[Alert], *, status: CaseStatus = CaseStatus.NEW, severity_id: int = 0, title: str = ""
) -> Case:
    """One case of these alerts as it stands when the last of them arrived."""
    worst = severity_id
    for one in alerts:
        worst = raised(worst, one)
    last = last_moment(alerts)
    name = title or alerts[0].title
    return Case(alerts[0].tenant, "case", name, status, worst, min(one.created for one in alerts), last, tuple(alerts))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(file), "", f"cannot be read ({error.strerror})")]) from error
