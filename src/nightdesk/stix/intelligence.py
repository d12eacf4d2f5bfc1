"""Builds what alerts share: malware, weaknesses, indicators, and the ATT&CK techniques an alert names."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from nightdesk.stix import attack, values
from nightdesk.stix.content import Content
from nightdesk.stix.scales import MALWARE_TYPES
from nightdesk.stix.scope import FIXED_CREATED, Scope

__all__ = ["Intelligence"]

_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_PATTERNS = {
    "ipv4-addr": ("[ipv4-addr:value = '{}']", "IPv4 address"),
    "ipv6-addr": ("[ipv6-addr:value = '{}']", "IPv6 address"),
    "domain-name": ("[domain-name:value = '{}']", "domain name"),
    "url": ("[url:value = '{}']", "URL"),
    "file": ("[file:hashes.'{}' = '{}']", "file hash"),
}


class Intelligence(Content):
    """Observables of one alert, and what the product knows about them."""

    def __init__(self, scope: Scope, product: str, problem: Callable[[str, str, Any], None]) -> None:
        super().__init__(scope, product, problem)
        self.shared: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, None] = {}
        self.flaws: dict[str, None] = {}
        self.techniques: dict[str, attack.Technique] = {}
        self.tactic_ids: dict[str, None] = {}
        self.revoked: dict[str, None] = {}
        self.extra: dict[str, Any] = {}

    def malware(self, name: str | None, *, types: Sequence[str | None] = (), family: bool = False) -> str | None:
        """Malware the product named; sighted."""
        if not name:
            return None
        ref = self.scope.key.id("malware", name.lower())
        entry = {**self._shared("malware", ref), "name": name, "is_family": family}
        kinds = list(dict.fromkeys(text for text in types if text in MALWARE_TYPES))
        if kinds:
            entry["malware_types"] = kinds
        self.shared.setdefault(ref, entry)
        self.seen[ref] = None
        return ref

    def vulnerability(self, name: str | None, *, description: str | None = None) -> str | None:
        """A weakness by its CVE id, or by the name the product gives it."""
        if not name:
            return None
        label = name.strip().upper() if _CVE.fullmatch(name.strip().upper()) else name.strip()
        ref = self.scope.key.id("vulnerability", label.lower())
        entry = {**self._shared("vulnerability", ref), "name": label}
        if _CVE.fullmatch(label):
            entry["external_references"] = [{"source_name": "cve", "external_id": label}]
        elif description:
            entry["description"] = description
        self.shared.setdefault(ref, entry)
        self.flaws[ref] = None
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
                self.revoked[found.asked] = None
        if text and (found is None or found.asked != found.technique_id):
            name = "attack_ids_unknown" if found is None else "attack_ids_as_sent"
            known = self.extra.setdefault(name, text)
            if text not in known.split(", "):
                self.extra[name] = f"{known}, {text}"

    def tactic(self, text: str | None) -> None:
        """An ATT&CK tactic by id or name."""
        found = attack.tactic(text) if text else None
        if found is not None:
            self.tactic_ids[found] = None

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


def _fixed() -> datetime:
    found = values.moment(FIXED_CREATED)
    assert found is not None
    return found
