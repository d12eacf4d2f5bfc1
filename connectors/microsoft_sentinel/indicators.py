"""Threat intelligence indicators: published under our own source, found by pattern, withdrawn by name."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

from nightdesk.connectors.microsoft_sentinel.client import CONTRIBUTOR, READER, Arm, broken, document
from nightdesk.sdk.context import Clock
from nightdesk.sdk.errors import RejectedError, UnsupportedError
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.moments import SECOND, instant, iso
from nightdesk.sdk.ports import Command, Effect, Receipt
from nightdesk.sdk.triage import marker

__all__ = ["Indicators"]

_ROOT = "/threatIntelligence/main"
_HASHES: Mapping[str, str] = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256"}
_TLP: Mapping[str, str] = {  # STIX 2.1 names a marking by its id: https://docs.oasis-open.org/cti/stix/v2.1/
    "clear": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "green": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "amber": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "amber+strict": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "red": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
_PARAMETERS = ("name", "description", "valid_until", "confidence", "tlp")
_MOST = 100  # per cent


class Indicators:
    """Publishes and withdraws; what other sources published is neither counted nor touched."""

    def __init__(self, arm: Arm, tenant: str, clock: Clock) -> None:
        self._arm = arm
        self._clock = clock
        self._source = f"nightdesk:{tenant}"

    async def publish(self, command: Command) -> Receipt:
        """Makes the indicator unless ours stands already. Sentinel keeps one of a source and pattern."""
        command.only(*_PARAMETERS)
        properties = _given(command, self._source)
        there = await self._find(command)
        if there is not None:
            ours = marker(command) in str(_properties(there).get("description"))
            left = () if ours else tuple(f"{name}: the indicator stood already, and is left as it is"
                                         for name in command.parameters)  # fmt: skip
            return Receipt(
                str(there.get("name") or ""), changed=ours, losses=left, evidence={"indicator": _shown(there)}
            )
        indicator = {"kind": "indicator", "properties": properties}
        operation = "publish indicator"
        response = await self._arm.ask(
            "POST", f"{_ROOT}/createIndicator", operation=operation, role=CONTRIBUTOR, json=indicator
        )
        made = document(response, operation)
        return Receipt(str(made.get("name") or ""), evidence={"indicator": _shown(made)})

    async def withdraw(self, command: Command) -> Receipt:
        """Deletes our indicator by its name; a missing one is what was wanted."""
        command.only()
        there = await self._find(command)
        if there is None:
            return Receipt(changed=command.began_otherwise("published", wanted=False))
        name = str(there.get("name") or "")
        path = f"{_ROOT}/indicators/{quote(name, safe='')}"
        await self._arm.ask("DELETE", path, operation="withdraw indicator", role=CONTRIBUTOR)
        return Receipt(name, evidence={"indicator": _shown(there)})

    async def effect(self, command: Command) -> tuple[Effect, dict[str, Any], str]:
        """Whether ours can be found, and its name. One that was just made may take minutes to be found."""
        there = await self._find(command)
        state = {
            "published": there is not None,
            "indicator": str(there.get("name") or "") if there else "",
            **(_end(there) if there else {}),
        }
        wanted = command.verb == "indicator.publish"
        native = "published" if there else "absent"
        return (Effect.IN_EFFECT if state["published"] is wanted else Effect.NOT_IN_EFFECT), state, native

    async def _find(self, command: Command) -> Mapping[str, Any] | None:
        kind, pattern, value = _pattern(command)
        operation = "find indicator"
        criteria = {"keywords": [value], "patternTypes": [kind], "sources": [self._source], "pageSize": 100}
        response = await self._arm.ask(
            "POST", f"{_ROOT}/queryIndicators", operation=operation, role=READER, json=criteria, repeatable=True
        )
        answer = document(response, operation)
        rows = [row for row in answer.get("value") or () if isinstance(row, dict) and row.get("name")]
        # Held against what was asked: criteria that were ignored must not make us touch a stranger's indicator.
        found = next((row for row in rows if self._is(_properties(row), pattern)), None)
        if found is None and answer.get("nextLink"):
            message = f"more than {len(rows)} indicators fit {value}, and ours is not among the first; withdraw some"
            raise broken(message, operation, response)
        return found

    def _is(self, properties: Mapping[str, Any], pattern: str) -> bool:
        until = instant(properties.get("validUntil"))
        ended = until is not None and until <= int(self._clock().timestamp()) * SECOND
        same = properties.get("source") == self._source and properties.get("pattern") == pattern
        return same and not properties.get("revoked") and not ended


def _end(there: Mapping[str, Any]) -> dict[str, str]:
    """When Sentinel no longer counts it as valid."""
    until = instant(_properties(there).get("validUntil"))
    return {} if until is None else {"ends_at": iso(until)}


def _given(command: Command, source: str) -> dict[str, Any]:
    """The indicator to publish. Raises RejectedError for a parameter that means nothing."""
    kind, pattern, value = _pattern(command)
    said = command.parameters
    properties = {
        "displayName": str(said.get("name") or f"nightdesk: {value}"),
        "description": " ".join(
            filter(None, (str(said.get("description") or command.reason), command.case_id, marker(command)))
        ),
        "pattern": pattern,
        "patternType": kind,
        "source": source,
        "threatTypes": ["malicious-activity"],
        "validFrom": iso(int(command.requested_at.timestamp()) * SECOND),
        "revoked": False,
    }
    until, confidence, tlp = (said.get(name) for name in ("valid_until", "confidence", "tlp"))
    if until is not None:
        moment = instant(until)
        if moment is None:
            raise RejectedError(f"valid_until {until!r}: write a time like 2026-11-01T00:00:00Z")
        properties["validUntil"] = iso(moment)
    if confidence is not None:
        if isinstance(confidence, bool) or not isinstance(confidence, int) or not 0 <= confidence <= _MOST:
            raise RejectedError(f"confidence {confidence!r}: write a whole number from 0 to {_MOST}")
        properties["confidence"] = confidence
    if tlp is not None:
        word = str(tlp).lower().removeprefix("tlp:")
        if word not in _TLP:
            raise RejectedError(f"tlp {tlp!r}: write one of {', '.join(_TLP)}")
        properties["objectMarkingRefs"] = [_TLP[word]]
    return properties


def _pattern(command: Command) -> tuple[str, str, str]:
    """Sentinel's type, the STIX pattern, and the value in it, of an indicator target."""
    about = command.target.observable
    value, path = about.value, "value"
    match about.kind:
        case TargetKind.DOMAIN:
            kind = "domain-name"
        case TargetKind.URL:
            kind = "url"
        case TargetKind.ADDRESS if "/" not in about.value:
            kind = f"ipv{ip_network(about.value).version}-addr"
        case TargetKind.FILE:
            name, _, value = about.value.partition(":")
            kind, path = "file", f"hashes.'{_HASHES[name]}'"
        case _:
            raise UnsupportedError(
                f"{command.target.key}: Sentinel takes single addresses, domains, URLs and file hashes"
            )
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return kind, f"[{kind}:{path} = '{quoted}']", value


def _properties(indicator: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = indicator.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _shown(indicator: Mapping[str, Any]) -> dict[str, Any]:
    shown = ("pattern", "patternType", "source", "validFrom", "validUntil")
    return {"name": indicator.get("name"), **{name: _properties(indicator).get(name) for name in shown}}
