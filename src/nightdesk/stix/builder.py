"""Builds everything of one alert that is not an observable: assets, verdicts, the incident, and what ties them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightdesk.sdk.case import Alert, EntityKind
from nightdesk.sdk.errors import MappingError
from nightdesk.stix import attack, values
from nightdesk.stix.observables import Observables
from nightdesk.stix.scales import CRITICALITY, SEVERITY, STATUS, determination
from nightdesk.stix.scope import EXTENSION, FIXED_CREATED, INCIDENT_CORE, Scope

__all__ = ["AlertBuilder"]

_EXT = "property-extension"
_PATTERNS = {
    "ipv4-addr": ("[ipv4-addr:value = '{}']", "IPv4 address"),
    "ipv6-addr": ("[ipv6-addr:value = '{}']", "IPv6 address"),
    "domain-name": ("[domain-name:value = '{}']", "domain name"),
    "url": ("[url:value = '{}']", "URL"),
    "file": ("[file:hashes.'{}' = '{}']", "file hash"),
}


class AlertBuilder(Observables):
    """One alert. The compiled mapping calls the methods in order, ``finish`` last."""

    def __init__(self, scope: Scope, *, product: str, vendor: str, name: str) -> None:
        self.problems: list[tuple[str, str, str]] = []
        super().__init__(scope, product, self._problem)
        self.vendor = vendor
        self.name = name
        self.assets: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, None] = {}
        self.techniques: dict[str, attack.Technique] = {}
        self.tactic_ids: dict[str, None] = {}
        self.links: list[tuple[str, str, str]] = []
        self.extra: dict[str, Any] = {}

    def _problem(self, pointer: str, wanted: str, found: Any) -> None:
        self.problems.append((pointer, wanted, type(found).__name__))

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
            given = {name: text for name, text in (cloud or {}).items() if text}
            if "provider" in given:
                facts["cloud"] = given
            entry = self.scope.identity(ref, label or str(uid), "system")
            self.assets[ref] = {**entry, "extensions": {EXTENSION["asset"]: facts}}
        if label:
            short = label.split(".")[0].lower()
            where = values.address(address) if address else None
            self.mark(
                role, ref, EntityKind.HOST, short, hostname=label, device_id=uid, address=where[1] if where else None,
                asset_type=kind,
            )  # fmt: skip
        if uid:
            self.mark(role, ref, EntityKind.DEVICE, f"{self.product}:{uid}", hostname=label)
        return ref

    def malware(self, name: str | None, *, types: Sequence[str | None] = (), family: bool = False) -> str | None:
        """Malware the product named; sighted."""
        if not name:
            return None
        ref = self.scope.key.id("malware", name.lower())
        entry = {**self._shared("malware", ref), "name": name, "is_family": family}
        kinds = [text for text in types if text]
        if kinds:
            entry["malware_types"] = kinds
        self.shared.setdefault(ref, entry)
        self.seen[ref] = None
        return ref

    def indicator(self, ref: str | None) -> str | None:
        """An indicator for an observable that the product itself convicts; equal for every alert that convicts it."""
        target = self.scos.get(ref or "")
        if target is None or target["type"] not in _PATTERNS:
            return None
        template, what = _PATTERNS[target["type"]]
        if target["type"] == "file":
            hashes = target.get("hashes")
            if not hashes:
                return None
            algorithm = next(name for name in ("SHA-256", "SHA-1", "MD5", "SHA-512") if name in hashes)
            value = hashes[algorithm]
            pattern = template.format(algorithm, value)
        else:
            value = str(target["value"])
            pattern = template.format(value.replace("\\", "\\\\").replace("'", "\\'"))
        made = self.scope.key.id("indicator", "stix", pattern)
        self.shared.setdefault(
            made,
            {
                **self._shared("indicator", made),
                "name": f"Convicted {what}: {value}",
                "description": f"A {what} that a bound security product itself convicted.",
                "indicator_types": ["malicious-activity"],
                "pattern": pattern,
                "pattern_type": "stix",
                "pattern_version": "2.1",
                "valid_from": values.clock_text(_fixed()),
            },
        )
        self.seen[made] = None
        return made

    def technique(self, text: str | None) -> None:
        """An ATT&CK technique by id; what is none (a vendor's own id) stays in the vendor fields."""
        found = attack.technique(text) if text else None
        if found is not None:
            self.techniques.setdefault(found.technique_id, found)
            if found.asked != found.technique_id:
                self.extra.setdefault("attack_id_as_sent", found.asked)

    def tactic(self, text: str | None) -> None:
        """An ATT&CK tactic by id or name."""
        found = attack.tactic(text) if text else None
        if found is not None:
            self.tactic_ids[found] = None

    def link(self, source: str | None, kind: str, target: str | None) -> None:
        """A relationship between two objects of the alert."""
        if source and target and source != target:
            self.links.append((source, kind, target))

    def _shared(self, kind: str, ref: str) -> dict[str, Any]:
        return {
            "type": kind,
            "spec_version": "2.1",
            "id": ref,
            "created_by_ref": self.scope.hub_ref,
            "created": FIXED_CREATED,
            "modified": FIXED_CREATED,
            "object_marking_refs": self._marks,
        }

    def finish(  # noqa: C901, PLR0915  # one alert has this many parts, and their order is the bundle's
        self,
        *,
        native_id: str | None,
        created: datetime | None,
        instance: str | None,
        title: str | None,
        raw: Mapping[str, Any],
        modified: datetime | None = None,
        description: str | None = None,
        severity: str | None = None,
        native_severity: str | None = None,
        scores: Mapping[str, float | None] | None = None,
        confidence: int | None = None,
        status: str | None = None,
        native_status: str | None = None,
        verdict: str | None = None,
        native_verdict: str | None = None,
        disposition: str | None = None,
        native_parent_id: str | None = None,
        native_type: str | None = None,
        product_version: str | None = None,
        console_url: str | None = None,
        occurrences: int | None = None,
        rule: Mapping[str, str | None] | None = None,
        first: datetime | None = None,
        last: datetime | None = None,
        observation: Mapping[str, Any] | None = None,
        vendor_fields: Mapping[str, Any] | None = None,
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """All objects in bundle order, and the facts a decision needs. Raises MappingError without id or time."""
        scope, key = self.scope, self.scope.key
        if not native_id:
            raise MappingError("an alert without an id", pointer="/", source=self.product)
        if created is None:
            raise MappingError("an alert without a time", pointer="/", source=self.product)
        instance = instance or self.product
        created_at = created.replace(microsecond=created.microsecond // 1000 * 1000)
        modified_at = max(created_at, modified or created_at)
        made, changed = values.created_text(created_at), values.created_text(modified_at)
        first_seen, last_seen = self._window(first, last, created)
        head = {"spec_version": "2.1", "created_by_ref": scope.hub_ref, "created": made, "modified": changed}
        incident_id = key.id("incident", "alert", instance, native_id)
        observed_id = key.id("observed-data", "alert", instance, native_id, 0)
        sensor_ref = key.id("identity", "sensor", self.product, instance)
        shared_modified = max(FIXED_CREATED, changed)

        core: dict[str, Any] = {
            "extension_type": _EXT,
            "determination": determination(verdict, disposition),
            "investigation_status": STATUS.get(status or "", "new"),
            "detection_methods": ["automated-tool", "commercial-solution"],
        }
        severity_id = SEVERITY.get(severity or "", 0)
        if severity_id in CRITICALITY:
            core["criticality"] = CRITICALITY[severity_id]
        given_scores = [{"name": name, "value": value} for name, value in (scores or {}).items() if value is not None]
        if given_scores:
            core["scores"] = given_scores
        alert: dict[str, Any] = {
            "extension_type": _EXT,
            "record_kind": "alert",
            "tenant_ref": scope.tenant_ref,
            "vendor": self.vendor,
            "product": self.name,
            "product_version": product_version,
            "instance": instance,
            "native_id": native_id,
            "native_parent_id": native_parent_id,
            "native_type": native_type,
            "native_status": native_status,
            "native_severity": native_severity,
            "native_verdict": native_verdict,
            "severity_id": severity_id,
            "disposition": disposition,
            "verdict": verdict,
            "occurrences": occurrences if occurrences and 0 < occurrences < 10**9 else None,
            "console_url": values.url(console_url) if console_url else None,
            "raw": raw,
        }
        rule_given = {name: text for name, text in (rule or {}).items() if text}
        if "rule_id" in rule_given:
            alert["rule"] = rule_given
        if self.roles:
            alert["entities"] = [{"role": role, "entity_ref": ref} for role, ref in self.roles]
        fields = {**self.extra, **{name: value for name, value in (vendor_fields or {}).items() if value is not None}}
        if fields:
            alert["vendor_fields"] = dict(list(fields.items())[:64])
        references = [{"source_name": self.product, "external_id": native_id}]
        references += [{"source_name": "mitre-attack", "external_id": found} for found in self.techniques]
        references += [{"source_name": "mitre-attack", "external_id": found} for found in self.tactic_ids]
        incident: dict[str, Any] = {
            "type": "incident", "id": incident_id, **head, "name": title or f"Alert {native_id}",
            "external_references": references, "object_marking_refs": self._marks,
        }  # fmt: skip
        if description:
            incident["description"] = description
        if confidence is not None and 0 <= confidence <= 100:
            incident["confidence"] = confidence

        objects: list[dict[str, Any]] = []
        if self.scos:
            alert["observed_data_refs"] = [observed_id]
            about = {name: value for name, value in (observation or {}).items() if value not in (None, [], {})}
            objects.append(
                {
                    "type": "observed-data",
                    "id": observed_id,
                    **head,
                    "first_observed": values.clock_text(first_seen),
                    "last_observed": values.clock_text(last_seen),
                    "number_observed": alert["occurrences"] or 1,
                    "object_refs": list(self.scos),
                    "extensions": {
                        EXTENSION["observation"]: {"extension_type": _EXT, "tenant_ref": scope.tenant_ref, **about}
                    },
                    "object_marking_refs": self._marks,
                }  # fmt: skip
            )
        incident["extensions"] = {
            INCIDENT_CORE: core,
            EXTENSION["alert"]: {name: value for name, value in alert.items() if value is not None},
        }
        shared = [{**entry, "modified": shared_modified} for entry in self.shared.values()]
        objects += shared
        objects.append(incident)

        where = [scope.tenant_ref, sensor_ref]
        sighted = [*self.seen, *(found.stix_id for found in self.techniques.values())]
        for target in sighted if self.scos else ():
            objects.append(
                {
                    "type": "sighting",
                    "id": key.id("sighting", target, observed_id, *where),
                    **head,
                    "sighting_of_ref": target,
                    "observed_data_refs": [observed_id],
                    "where_sighted_refs": where,
                    "first_seen": values.clock_text(first_seen),
                    "last_seen": values.clock_text(last_seen),
                    "count": 1,
                    "object_marking_refs": self._marks,
                }  # fmt: skip
            )
        related = [observed_id] if self.scos else []
        related += [*self.assets, *(ref for ref in self.seen if ref.startswith("malware"))]
        related += [found.stix_id for found in self.techniques.values()]
        links = [(incident_id, "related-to", target) for target in related] + self.links
        if self.scos:
            links += [(ref, "based-on", observed_id) for ref in self.seen if ref.startswith("indicator")]
        for source, kind, target in dict.fromkeys(links):
            # A relationship between shared things outlives the alert, so its ``created`` is fixed like theirs.
            lasting = incident_id not in {source, target} and observed_id not in {source, target}
            times = {"created": FIXED_CREATED, "modified": shared_modified} if lasting else {}
            objects.append(
                {
                    "type": "relationship",
                    "id": key.id("relationship", source, kind, target),
                    **head,
                    **times,
                    "relationship_type": kind,
                    "source_ref": source,
                    "target_ref": target,
                    "object_marking_refs": self._marks,
                }  # fmt: skip
            )
        assets = [{**entry, "modified": shared_modified} for entry in self.assets.values()]
        sensor = scope.identity(sensor_ref, f"{self.name} ({instance})", "system", shared_modified)
        used = ["alert", *(["asset"] if assets else []), *(["observation"] if self.scos else [])]
        bundle = [*scope.opening(*used), *scope.standing(), sensor, *assets, *self.scos.values(), *objects]
        facts = {
            "alert_id": incident_id, "instance": instance, "native_id": native_id, "title": incident["name"],
            "created": created_at, "modified": modified_at, "first_seen": first_seen, "last_seen": last_seen,
            "severity_id": severity_id, "confidence": incident.get("confidence"), "description": description or "",
            "rule_id": rule_given.get("rule_id", ""), "rule_name": rule_given.get("rule_name", ""),
            "rule_version": rule_given.get("rule_version", ""), "native_status": native_status or "",
            "native_verdict": native_verdict or "", "closed_at_source": status == "closed",
            "disposition": disposition or "", "techniques": tuple(self.techniques), "tactics": tuple(self.tactic_ids),
            "entities": tuple(self.entities.values()), "console_url": alert["console_url"] or "",
        }  # fmt: skip
        return bundle, facts

    def _window(self, first: datetime | None, last: datetime | None, created: datetime) -> tuple[datetime, datetime]:
        """When it was seen; a time a day after the alert itself contradicts it and counts as wrong."""
        latest = created + timedelta(days=1)
        start = first or last or created
        if start > latest:
            self.problem("/", "an event time before the alert's own time", first)
            start = created
        end = last or start
        end = max(end, start)
        return start, end


def _fixed() -> datetime:
    found = values.moment(FIXED_CREATED)
    assert found is not None
    return found


def to_alert(facts: Mapping[str, Any], *, tenant: str, product: str, caution: tuple[str, ...], digest: str) -> Alert:
    """The facts as the value that the autonomy reads."""
    return Alert(tenant=tenant, product=product, caution=caution, content_sha256=digest, **facts)
