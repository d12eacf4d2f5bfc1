"""Builds everything of one alert that is not an observable: assets, verdicts, the incident, and what ties them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

from nightdesk.sdk.case import Alert, EntityKind
from nightdesk.sdk.errors import MappingError
from nightdesk.stix import values
from nightdesk.stix.header import Header
from nightdesk.stix.ids import TenantKey
from nightdesk.stix.intelligence import Intelligence
from nightdesk.stix.scales import CRITICALITY, SEVERITY, STATUS, determination
from nightdesk.stix.scope import EXTENSION, FIXED_CREATED, INCIDENT_CORE, Scope

__all__ = ["NO_TIME", "AlertBuilder", "Finished"]

Finished = tuple[list[dict[str, Any]], Callable[[], dict[str, Any]]]
"""All objects of an alert, and what tells the facts that a decision needs."""
NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of an alert that has none: when it arrived must not count, or re-ingest would differ (law 2)."""
_EXT = "property-extension"
_CERTAIN = 100
_MOST_VENDOR_FIELDS = 64
_LARGEST_CLASS = 999_999
_MOST_OCCURRENCES = 10**9
_DAY = timedelta(days=1)
_ALERT, _ASSET, _OBSERVATION = EXTENSION["alert"], EXTENSION["asset"], EXTENSION["observation"]
# Without this key the table says nothing.
_NEEDED = {"api": "operation", "cloud": "provider"}


def _noting(problems: list[tuple[str, str, str]]) -> Callable[[str, str, Any], None]:
    """What notes a problem; no method of the builder, which would then hold itself until the cyclic collector runs."""

    def problem(pointer: str, wanted: str, found: Any) -> None:
        problems.append((pointer, wanted, type(found).__name__))

    return problem


class AlertBuilder(Intelligence):
    """One alert. The compiled mapping calls the methods in order, ``finish`` last."""

    def __init__(self, scope: Scope, *, product: str, vendor: str, name: str) -> None:
        self.problems: list[tuple[str, str, str]] = []
        super().__init__(scope, product, _noting(self.problems))
        self.vendor = vendor
        self.name = name
        self.assets: dict[str, dict[str, Any]] = {}
        self.links: list[tuple[str, str, str]] = []
        self.dropped: tuple[str, ...] = ()

    def asset(
        self,
        uid: str | None,
        *,
        hostname: str | None = None,
        domain: str | None = None,
        fqdn: str | None = None,
        kind: str | None = None,
        cloud: Mapping[str, str | None] | None = None,
        role: str | None = "victim-host",
        address: str | None = None,
    ) -> str | None:
        """A device or resource of the tenant; without the product's own id its name is its id."""
        label = hostname or fqdn
        if not uid and not label:
            return None
        asset_uid = f"{self.product}:{uid}" if uid else f"fqdn:{str(fqdn or hostname).lower()}"
        ref = self.scope.key.id("identity", "asset", asset_uid)
        if ref not in self.assets:
            facts: dict[str, Any] = {
                "extension_type": _EXT,
                "asset_uid": asset_uid,
                "tenant_ref": self.scope.tenant_ref,
                "asset_type": kind or "other",
            }
            if label:
                facts["hostname"] = label
            if domain:
                facts["domain"] = domain
            if cloud and cloud.get("provider"):
                facts["cloud"] = {name: text for name, text in cloud.items() if text}
            entry = self.assets[ref] = self.scope.identity(ref, label or str(uid), "system")
            if uid:
                entry["external_references"] = [{"source_name": self.product, "external_id": uid}]
            entry["extensions"] = {_ASSET: facts}
        if label:
            short = label.split(".")[0].lower()
            where = values.address(address) if address else None
            facts_of = {"hostname": label, "device_id": uid, "address": where[1] if where else None, "asset_type": kind}
            self.mark(role, ref, EntityKind.HOST, short, **facts_of)
        if uid:
            self.mark(role, ref, EntityKind.DEVICE, f"{self.product}:{uid}", hostname=label)
        return ref

    def link(self, source: str | None, kind: str, target: str | None) -> None:
        """A relationship between two objects of the alert."""
        if source and target and source != target and self._holds(source) and self._holds(target):
            self.links.append((source, kind, target))

    def _holds(self, ref: str) -> bool:
        return ref in self.scos or ref in self.assets or ref in self.shared

    def finish(self, header: Header) -> Finished:
        """All objects in bundle order, and what tells the facts a decision needs.

        Raises MappingError without id or time.
        """
        if not header.native_id:
            raise MappingError("an alert without an id", pointer="/", source=self.product)
        if header.created is None and not header.timeless:
            raise MappingError("an alert without a time", pointer="/", source=self.product)
        if header.created is None:
            self.problem("/", "a time with a zone", None)
        made = _Made(self, header, header.native_id, header.created or NO_TIME)
        extension = self._alert_extension(header, made)
        incident = self._incident(header, made, extension)
        lasting = {"modified": made.shared_modified}
        sensor = self.scope.identity(made.sensor_ref, f"{self.name} ({made.instance})", "system", made.shared_modified)
        bundle = [
            *self.scope.head(assets=bool(self.assets), observed=bool(self.scos)),
            sensor,
            *[entry | lasting for entry in self.assets.values()],
            *self.scos.values(),
        ]
        if self.scos:
            bundle.append(self._observed(header, made))
        bundle += [entry | lasting for entry in self.shared.values()]
        bundle.append(incident)
        if self.scos and (self.seen or self.techniques):
            bundle += self._sightings(made)
        bundle += self._relationships(made)
        return bundle, partial(self._facts, header, made, incident, extension)

    def _alert_extension(self, header: Header, made: "_Made") -> dict[str, Any]:
        facts: dict[str, Any] = {
            "extension_type": _EXT,
            "record_kind": "alert",
            "tenant_ref": self.scope.tenant_ref,
            "vendor": self.vendor,
            "product": self.name,
        }
        if header.product_version is not None:
            facts["product_version"] = header.product_version
        facts["instance"] = made.instance
        facts["native_id"] = made.native_id
        _say(header, facts)
        facts["severity_id"] = SEVERITY.get(header.severity or "", 0)
        if header.disposition is not None:
            facts["disposition"] = header.disposition
        if header.verdict is not None:
            facts["verdict"] = header.verdict
        if header.occurrences and 0 < header.occurrences < _MOST_OCCURRENCES:
            facts["occurrences"] = header.occurrences
        console = values.url(header.console_url) if header.console_url else None
        if console is not None:
            facts["console_url"] = console
        facts["raw"] = header.raw
        if header.rule.get("rule_id"):
            facts["rule"] = {name: text for name, text in header.rule.items() if text}
        if self.scos:
            facts["observed_data_refs"] = [made.observed_id]
        if self.roles:
            facts["entities"] = [{"role": role, "entity_ref": ref} for role, ref in self.roles]
        fields = self._vendor_fields(header)
        if fields:
            facts["vendor_fields"] = fields
        return facts

    def _vendor_fields(self, header: Header) -> dict[str, Any]:
        fields = {**self.extra, **{name: value for name, value in header.vendor_fields.items() if value is not None}}
        if len(fields) > _MOST_VENDOR_FIELDS:
            names = list(fields)
            fields = {name: fields[name] for name in names[:_MOST_VENDOR_FIELDS]}
            self.dropped = tuple(f"vendor_fields.{name}" for name in names[_MOST_VENDOR_FIELDS:])
        return fields

    def _incident(self, header: Header, made: "_Made", extension: dict[str, Any]) -> dict[str, Any]:
        core: dict[str, Any] = {
            "extension_type": _EXT,
            "determination": determination(header.verdict, header.disposition),
            "investigation_status": STATUS.get(header.status or "", "new"),
            "detection_methods": ["automated-tool", "commercial-solution"],
        }
        if extension["severity_id"] in CRITICALITY:
            core["criticality"] = CRITICALITY[extension["severity_id"]]
        scores = [{"name": name, "value": value} for name, value in header.scores.items() if value is not None]
        if scores:
            core["scores"] = scores
        references = [{"source_name": self.product, "external_id": made.native_id}]
        # Consumers that do not know the extensions still show which rule, which incident and what kind of alert.
        if header.native_parent_id:
            references.append({"source_name": f"{self.product}/parent", "external_id": header.native_parent_id})
        if header.rule.get("rule_id"):
            rule = {"source_name": f"{self.product}/rule", "external_id": str(header.rule["rule_id"])}
            if header.rule.get("rule_name"):
                rule["description"] = str(header.rule["rule_name"])
            references.append(rule)
        if self.techniques or self.tactic_ids:
            references += [{"source_name": "mitre-attack", "external_id": found} for found in self.techniques]
            references += [{"source_name": "mitre-attack", "external_id": found} for found in self.tactic_ids]
            # Consumers look a ``mitre-attack`` id up in today's ATT&CK, where a revoked one is not.
            references += [{"source_name": "mitre-attack-revoked", "external_id": found} for found in self.revoked]
        incident: dict[str, Any] = {
            "type": "incident",
            "id": made.incident_id,
            "spec_version": "2.1",
            "created_by_ref": self.scope.hub_ref,
            "created": made.created_text,
            "modified": made.modified_text,
            "name": header.title or f"Alert {made.native_id}",
            "external_references": references,
            "extensions": {INCIDENT_CORE: core, _ALERT: extension},
            "object_marking_refs": self._marks,
        }
        kinds = header.observation.get("event_category") or ()
        labels = [text for text in dict.fromkeys((*kinds, header.native_type, header.rule.get("rule_type"))) if text]
        if labels:
            incident["labels"] = labels
        if header.description:
            incident["description"] = header.description
        if header.confidence is not None and 0 <= header.confidence <= _CERTAIN:
            incident["confidence"] = header.confidence
        return incident

    def _observed(self, header: Header, made: "_Made") -> dict[str, Any]:
        facts: dict[str, Any] = {"extension_type": _EXT, "tenant_ref": self.scope.tenant_ref}
        for name, value in header.observation.items():
            if not value and value != 0:
                continue
            if name.endswith("_ref") and value not in self.scos and value not in self.assets:
                continue
            if name == "class_uid" and not 0 <= value <= _LARGEST_CLASS:
                self.problem("/", f"an OCSF class up to {_LARGEST_CLASS}", value)
            elif name not in _NEEDED or _NEEDED[name] in value:
                facts[name] = value
        count = header.occurrences if header.occurrences and 0 < header.occurrences < _MOST_OCCURRENCES else 1
        return {
            "type": "observed-data",
            "id": made.observed_id,
            "spec_version": "2.1",
            "created_by_ref": self.scope.hub_ref,
            "created": made.created_text,
            "modified": made.modified_text,
            "first_observed": made.first_text,
            "last_observed": made.last_text,
            "number_observed": count,
            "object_refs": list(self.scos),
            "extensions": {_OBSERVATION: facts},
            "object_marking_refs": self._marks,
        }

    def _sightings(self, made: "_Made") -> list[dict[str, Any]]:
        hub, identify = self.scope.hub_ref, self.scope.key.id
        tenant, sensor, observed = self.scope.tenant_ref, made.sensor_ref, made.observed_id
        return [
            {
                "type": "sighting",
                "id": identify("sighting", target, observed, tenant, sensor),
                "spec_version": "2.1",
                "created_by_ref": hub,
                "created": made.created_text,
                "modified": made.modified_text,
                "sighting_of_ref": target,
                "observed_data_refs": [observed],
                "where_sighted_refs": [tenant, sensor],
                "first_seen": made.first_text,
                "last_seen": made.last_text,
                "count": 1,
                "object_marking_refs": self._marks,
            }
            for target in (*self.seen, *[found.stix_id for found in self.techniques.values()])
        ]

    def _relationships(self, made: "_Made") -> list[dict[str, Any]]:
        incident, observed = made.incident_id, made.observed_id
        related = [observed] if self.scos else []
        related += self.assets
        related += self.flaws
        related += [ref for ref in self.seen if ref.startswith("malware")]
        related += [found.stix_id for found in self.techniques.values()]
        own = [(incident, "related-to", target) for target in dict.fromkeys(related)]
        found = self._related(own, made.created_text, made.modified_text)
        if self.links:
            # A relationship between shared things outlives the alert, so its ``created`` is fixed like theirs.
            found += self._related(dict.fromkeys(self.links), FIXED_CREATED, made.shared_modified)
        if self.scos and self.seen:
            based = [(ref, "based-on", observed) for ref in self.seen if ref.startswith("indicator")]
            found += self._related(based, made.created_text, made.modified_text)
        return found

    def _related(self, links: Iterable[tuple[str, str, str]], created: str, modified: str) -> list[dict[str, Any]]:
        hub, marks, identify = self.scope.hub_ref, self._marks, self.scope.key.id
        return [
            {
                "type": "relationship",
                "id": identify("relationship", source, kind, target),
                "spec_version": "2.1",
                "created_by_ref": hub,
                "created": created,
                "modified": modified,
                "relationship_type": kind,
                "source_ref": source,
                "target_ref": target,
                "object_marking_refs": marks,
            }
            for source, kind, target in links
        ]

    def _facts(
        self, header: Header, made: "_Made", incident: dict[str, Any], extension: dict[str, Any]
    ) -> dict[str, Any]:
        rule = extension.get("rule", {})
        return {
            "alert_id": made.incident_id,
            "instance": made.instance,
            "native_id": made.native_id,
            "title": incident["name"],
            "created": made.created,
            "modified": made.modified,
            "first_seen": made.first,
            "last_seen": made.last,
            "severity_id": extension["severity_id"],
            "confidence": incident.get("confidence"),
            "description": header.description or "",
            "rule_id": rule.get("rule_id", ""),
            "rule_name": rule.get("rule_name", ""),
            "rule_version": rule.get("rule_version", ""),
            "native_status": header.native_status or "",
            "native_verdict": header.native_verdict or "",
            "closed_at_source": header.status == "closed",
            "disposition": header.disposition or "",
            "techniques": tuple(self.techniques),
            "tactics": tuple(self.tactic_ids),
            "entities": tuple(self.entities.values()),
            "console_url": extension.get("console_url", ""),
        }

    def window(self, first: datetime | None, last: datetime | None, created: datetime) -> tuple[datetime, datetime]:
        """When it was seen; a time a day after the alert itself contradicts it and counts as wrong."""
        start = first or last or created
        if start > created + _DAY:
            self.problem("/", "an event time before the alert's own time", first)
            start = created
        return start, max(start, last or start)


def _say(header: Header, facts: dict[str, Any]) -> None:
    """What the product itself says, in its own words."""
    if header.native_parent_id is not None:
        facts["native_parent_id"] = header.native_parent_id
    if header.native_type is not None:
        facts["native_type"] = header.native_type
    if header.native_status is not None:
        facts["native_status"] = header.native_status
    if header.native_severity is not None:
        facts["native_severity"] = header.native_severity
    if header.native_verdict is not None:
        facts["native_verdict"] = header.native_verdict


class _Made:
    """The ids and times of one alert, made once."""

    def __init__(self, builder: AlertBuilder, header: Header, native_id: str, created: datetime) -> None:
        key = builder.scope.key
        self.native_id = native_id
        self.instance = header.instance or builder.product
        rest = created.microsecond % 1000
        self.created = created - timedelta(microseconds=rest) if rest else created
        self.modified = max(self.created, header.modified or self.created)
        self.first, self.last = builder.window(header.first, header.last, created)
        self.first_text = values.clock_text(self.first)
        self.last_text = self.first_text if self.last is self.first else values.clock_text(self.last)
        self.created_text = values.created_text(self.created)
        same = self.modified is self.created
        self.modified_text = self.created_text if same else values.created_text(self.modified)
        self.shared_modified = max(FIXED_CREATED, self.modified_text)
        self.incident_id = key.id("incident", "alert", self.instance, native_id)
        self.observed_id = key.id("observed-data", "alert", self.instance, native_id, 0)
        self.sensor_ref = _sensor_ref(key, builder.product, self.instance)


@lru_cache(maxsize=4096)
def _sensor_ref(key: TenantKey, product: str, instance: str) -> str:
    """A tenant has few sensors and every alert names one."""
    return key.id("identity", "sensor", product, instance)


def to_alert(facts: Mapping[str, Any], *, tenant: str, product: str, caution: tuple[str, ...], digest: str) -> Alert:
    """The facts as the value that the autonomy reads."""
    return Alert(tenant=tenant, product=product, caution=caution, content_sha256=digest, **facts)
