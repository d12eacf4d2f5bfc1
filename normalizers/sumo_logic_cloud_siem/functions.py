"""Insights and signals in one shape: the records of all signals in one list, entities with their kind and place."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.functions import utc
from nightdesk.stix.networks import is_inside

__all__ = ["FUNCTIONS"]

_KIND: Final = re.compile(r"_([a-z]+)-")
# What objects are made of; everything else a record says goes to the facts of all records together.
_READ: Final = frozenset(
    {
        "device_hostname", "device_ip", "device_mac", "srcDevice_hostname", "srcDevice_ip", "srcDevice_mac",
        "dstDevice_hostname", "dstDevice_ip", "dstDevice_mac", "srcPort", "dstPort", "ipProtocol", "bytesOut",
        "bytesIn", "user_username", "user_userId", "user_email", "fromUser_username", "targetUser_username",
        "commandLine", "baseImage", "pid", "parentBaseImage", "parentCommandLine", "parentPid", "file_path",
        "file_basename", "file_hash_md5", "file_hash_sha1", "file_hash_sha256", "file_size", "http_url",
        "http_hostname", "http_method", "http_userAgent", "dns_query", "email_sender", "email_subject",
        "cloud_provider", "cloud_region", "cloud_zone", "accountId", "action", "success", "normalizedAction",
        "metadata_product", "metadata_deviceEventId", "timestamp", "uid",
    }
)  # fmt: skip
# Facts that a mapping gives a name; of the other four hundred attributes of the schema all stand under ``rest``.
_NAMED: Final = frozenset(
    {
        "metadata_vendor", "objectType", "threat_name", "http_userAgent", "http_method", "srcPort", "dstPort",
        "description", "file_hash_sha256", "action",
    }
)  # fmt: skip
# What the product derives from an attribute of that name, and its bookkeeping of a record.
_DERIVED: Final = re.compile(
    r".*_(?:ipv4IntValue|isInternal|version|raw|tld|rootDomain|fqdn|asnNumber|ip_location)|day|hour|month|year|friendlyName|"
    r"fieldTags|metadata_(?:mapper.*|parse.*|schema.*|sensor.*|productGuid|receiptTime|relayHostname)|_cip.*|_.*"
)
_SUMMARY: Final = _READ - {"commandLine", "baseImage", "pid", "parentBaseImage", "parentCommandLine", "parentPid"}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]


def _without(raw: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The object without what was taken from it; what is no object stays, to be seen as lost."""
    return {name: value for name, value in raw.items() if name not in names or (value and not _dicts(value))}


def _key(value: Any) -> str:
    """What tells two values apart; one that is nested too deeply to be written is only itself."""
    try:
        return repr(value)
    except RecursionError:
        return f"#{id(value)}"


def _entity(raw: dict[str, Any], place: str) -> dict[str, Any]:
    """An entity with its kind and value; the kind stands again under its place: ``about`` the alert or ``beside``."""
    key = raw.get("id")
    prefix = _KIND.match(key) if isinstance(key, str) else None
    kind = raw.get("entityType") if isinstance(raw.get("entityType"), str) else None
    ip = raw.get("ip")
    value = raw.get("value") or raw.get("name") or (ip.get("address") if isinstance(ip, dict) else None)
    kind = (kind or (prefix[0].rstrip("-") if prefix else "")).strip("_").lower()
    made = {name: inner for name, inner in raw.items() if name not in {"id", "name", "value", "entityType", "ip"}}
    made |= {"kind": kind, "value": value, place: kind}
    known = values.address(value) if kind == "ip" and isinstance(value, str) else None
    if known and place == "about" and is_inside(known[1]):
        made["own"] = known[1]
    return made


def _record(raw: dict[str, Any]) -> dict[str, Any]:
    """What objects are made of."""
    made = {name: value for name, value in raw.items() if name in _READ}
    # Only a source that the product itself puts outside the company's networks is an attacker's.
    if raw.get("srcDevice_ip_isInternal") is False:
        made["outside"] = True
        if raw.get("dstDevice_ip_isInternal") is True:
            made["hit"] = raw.get("dstDevice_ip")
    return made


def _facts(raws: list[dict[str, Any]]) -> dict[str, Any]:
    """What the records say beside their objects, each value once: by name, as the log's own fields, and as the rest."""
    found: dict[str, dict[str, dict[str, Any]]] = {"named": {}, "fields": {}, "rest": {}}
    for raw in raws:
        for name, value in raw.items():
            if value in (None, "", [], {}) or (name not in _NAMED and (name in _READ or _DERIVED.fullmatch(name))):
                continue
            if name == "fields" and isinstance(value, dict):
                for field, inner in value.items():
                    found["fields"].setdefault(str(field), {}).setdefault(_key(inner), inner)
            else:
                found["named" if name in _NAMED else "rest"].setdefault(name, {}).setdefault(_key(value), value)
    tables = {table: {name: list(known.values()) for name, known in names.items()} for table, names in found.items()}
    alone = {
        table: {name: known[0] if len(known) == 1 else known for name, known in tables[table].items()}
        for table in ("fields", "rest")
    }
    return {**tables["named"], **{table: names for table, names in alone.items() if names}}


def _summaries(fields: Any) -> Iterator[dict[str, Any]]:
    """What the records of an insight have in common, as records of one attribute each."""
    for field in _dicts(fields):
        name, value = field.get("fieldName"), field.get("fieldValue")
        if isinstance(name, str) and name in _SUMMARY and isinstance(value, str):
            yield {name: value}


def flattened(document: dict[str, Any]) -> dict[str, Any]:
    """The document with ``entities``, ``records`` and ``facts`` in place of what holds them; signals keep the rest."""
    made = _without(document, "entity", "relatedEntities", "involvedEntities", "allRecords")
    entities = [_entity(raw, "about") for raw in _dicts(document.get("entity"))]
    beside = [*_dicts(document.get("relatedEntities")), *_dicts(document.get("involvedEntities"))]
    raws = _dicts(document.get("allRecords"))
    if isinstance(document.get("signals"), list):
        signals = []
        for signal in document["signals"]:
            if not isinstance(signal, dict):
                signals.append(signal)
                continue
            beside += _dicts(signal.get("entity"))
            raws += _dicts(signal.get("allRecords"))
            signals.append(_without(signal, "entity", "allRecords"))
        made["signals"] = signals
    records = [*(_record(raw) for raw in raws), *_summaries(document.get("recordSummaryFields"))]
    known = {(entity["kind"], str(entity["value"])) for entity in entities}
    for entity in (_entity(raw, "beside") for raw in beside):
        key = (entity["kind"], str(entity["value"]))
        if key not in known:
            known.add(key)
            entities.append(entity)
    return {**made, "entities": entities, "records": [record for record in records if record], "facts": _facts(raws)}


def total(signals: Any, name: str) -> int | None:
    """The sum of a count over all signals."""
    found = [item.get(name) for item in _dicts(signals)]
    return sum(n for n in found if isinstance(n, int) and not isinstance(n, bool) and n > 0) or None


def _moments(signals: Any) -> list[str]:
    texts = [utc(item.get("timestamp")) for item in _dicts(signals) if isinstance(item.get("timestamp"), str)]
    known = [(found, text) for text in texts if (found := values.parse_time(text))]
    return [text for _, text in sorted(known)]


def earliest(signals: Any) -> str | None:
    """The time of the first signal."""
    return next(iter(_moments(signals)), None)


def latest(signals: Any) -> str | None:
    """The time of the last signal."""
    return next(iter(_moments(signals)[::-1]), None)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (flattened, total, earliest, latest)
}
