"""What Sentinel's forms need before their paths are read: entities flat, alerts of an incident, mails put together."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any, Final

from nightdesk.normalizers.microsoft_sentinel.entities import flat, folded
from nightdesk.stix.prepare import PREPARE

__all__ = ["FUNCTIONS"]

# What several entities or alerts say of themselves beside what their objects carry: one vendor field, all its values.
_FACTS: Final = (
    "count", "isdomainjoined", "logonid", "osfamily", "riskscore", "healthstatus", "aaddeviceid", "aaduserid",
    "aadtenantid", "upnsuffix", "dnsdomain", "ntdomain", "cloudappaccountid", "elevationtoken", "location",
    "threatintelligence", "sessionid", "url", "p2sender", "networkmessageid", "threats", "deliveryaction",
    "deliverylocation", "antispamdirection", "reporttype", "copies", "alternatedatastreamname", "category",
    "lastverdict", "suspicionlevel", "lastremediationstate", "detectionstatus", "detailedroles", "devicetype",
    "manufacturer", "model",
)  # fmt: skip
# Those that objects are made of too.
_READ_TOO: Final = frozenset(
    {"osfamily", "aaduserid", "dnsdomain", "ntdomain", "threatintelligence", "url", "p2sender", "category"}
)
_ALERT_FACTS: Final = (
    "systemalertid", "alertdisplayname", "severity", "status", "productname", "providername", "vendorname",
    "alerttype", "alertlink", "description", "compromisedentity", "remediationsteps", "confidencelevel",
)  # fmt: skip
_SUSPECT: Final = ("Suspicious Process Id", "suspicious process id")


def _value(node: Any, path: str) -> Any:
    for step in path.split("."):
        node = node.get(step) if isinstance(node, dict) else None
    return node


def _without(node: Any, path: str) -> Any:
    """The node without what stands at a path; nothing of the caller's is changed."""
    step, _, rest = path.partition(".")
    if not isinstance(node, dict) or step not in node:
        return node
    if not rest:
        return {name: value for name, value in node.items() if name != step}
    return {**node, step: _without(node[step], rest)}


def _listed(found: Any) -> list[Any] | None:
    """A list, or the list in the answer of the entities call (``{"entities": […]}``, ``{"value": […]}``)."""
    if isinstance(found, dict):
        found = found.get("entities", found.get("value"))
    return found if isinstance(found, list) else None


def gathered(document: dict[str, Any], *paths: str) -> dict[str, Any]:
    """The entities at these paths stand under ``entities`` in one shape, what no mapping models under ``others``."""
    raw: list[Any] = []
    for path in paths:
        found = _listed(_value(document, path))
        if found is not None:
            raw += found
            document = _without(document, path)
    if not raw:
        return document
    entities, others = flat(raw)
    _suspect(document, entities)
    known = [other for other in others if _is_alert(other)]
    rest = [other for other in others if not _is_alert(other)]
    alerts = [*(document.get("alerts") or []), *known] if known else document.get("alerts")
    mails = _main_last(document, _mails(entities))
    facts = _facts(mails, _FACTS, _READ_TOO)
    added = {"entities": mails, "facts": facts, "others": rest, "alerts": alerts}
    return {**document, **{name: value for name, value in added.items() if value}}


def _main_last(document: Mapping[str, Any], entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The compromised host, else the first, stands last: after a list a label means its last object."""
    hosts = [entity for entity in entities if entity["type"] == "host"]
    said = str(document.get("CompromisedEntity") or _value(document, "properties.compromisedEntity")).lower()
    names = ("hostname", "fqdn", "netbiosname")
    main = next((host for host in hosts if said in {str(host.get(name)).lower() for name in names}), None)
    main = main or (hosts[0] if hosts else None)
    return entities if main is None else [*(entity for entity in entities if entity is not main), main]


def _facts(elements: list[dict[str, Any]], names: Iterable[str], kept: Collection[str] = ()) -> dict[str, Any]:
    """All that the elements say under these names, each value once; it leaves them but where it is kept."""
    made: dict[str, dict[Hashable, Any]] = {}
    for element in elements:
        for name in [name for name in names if name in element]:
            value = element[name] if name in kept else element.pop(name)
            for part in value if isinstance(value, list) else (value,):
                if part or part not in (None, "", [], {}):
                    made.setdefault(name, {}).setdefault(part if part.__class__ is str else (repr(part),), part)
    return {name: list(values.values()) for name, values in made.items()}


def _is_alert(other: Any) -> bool:
    """The entities of an incident hold its alerts too."""
    return isinstance(other, dict) and other.get("type") == "securityalert"


def parsed_properties(document: dict[str, Any]) -> dict[str, Any]:
    """The properties that hold JSON as text (rule ids, custom details) become what they hold; the names have blanks."""
    return PREPARE["parse_json"](document, "ExtendedProperties.Analytic Rule Ids", "ExtendedProperties.Custom Details")


def _suspect(document: Mapping[str, Any], entities: Iterable[dict[str, Any]]) -> None:
    """The process that the alert's own properties name as the suspicious one, by its id."""
    said = next((found for name in _SUSPECT if (found := _value(document, f"ExtendedProperties.{name}"))), None)
    number = _number(said)
    for entity in entities:
        if number is not None and entity["type"] == "process" and _number(entity.get("processid")) == number:
            entity["hostile"] = "process"


def _number(value: Any) -> int | None:
    try:
        text = str(value).strip()
        return int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        return None


def _mails(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Copies of one mail, one a recipient, become that mail; a mail that is alone in the alert is marked so.

    The list of all recipients belongs to one message only when there is one: a mapping's ``to`` takes a whole list.
    """
    made: list[dict[str, Any]] = []
    first: dict[str, dict[str, Any]] = {}
    for entity in entities:
        if entity["type"] not in {"mailmessage", "submissionmail"}:
            made.append(entity)
            continue
        recipient = str(entity.pop("recipient", None) or "")
        key = str(entity.get("networkmessageid") or f"n{len(first)}")
        known = first.get(key)
        if known is None:
            first[key] = known = {**entity, "recipients": {}}
            made.append(known)
        else:
            for name, value in entity.items():
                if known.get(name) in (None, "", []):
                    known[name] = value
                elif known[name] != value and name not in {"mergebykey", "mergebykeyhex", "urn", "referenceid"}:
                    known.setdefault("copies", []).append(f"{name}: {value}")
        if recipient:
            known["recipients"][recipient] = None
    for entity in first.values():
        entity["recipients"] = list(entity["recipients"])
        entity["alone" if len(first) == 1 else "amongmany"] = True
    return made


def alerts_of(document: dict[str, Any], *paths: str) -> dict[str, Any]:
    """The alerts of an incident at these paths stand under ``alerts`` with keys in one shape."""
    raw: list[Any] = []
    for path in paths:
        found = _listed(_value(document, path))
        if found is not None:
            raw += found
            document = _without(document, path)
    made = []
    for item in raw:
        alert = folded(item)
        inner = alert.pop("properties", None) if isinstance(alert, dict) else None
        made.append({**alert, **inner} if isinstance(inner, dict) else alert)
    objects = [alert for alert in made if isinstance(alert, dict)]
    facts = _facts(objects, _ALERT_FACTS)
    return {**document, "alerts": made, "alert_facts": facts} if made else document


def mail_of(name: Any) -> Any:
    """A principal name as a mail address; a guest's holds the address at home (``anna_example.com#EXT#@tenant``)."""
    home, guest, _ = str(name).partition("#EXT#")
    user, _, domain = home.rpartition("_")
    return (f"{user}@{domain}" if user and domain else None) if guest else name


def workspace_of(value: Any) -> str | None:
    """``subscription/resource group/workspace`` of an ARM id, in lower case: the portal writes them in any case."""
    parts = str(value).lower().strip("/").split("/")
    named = dict(zip(parts[::2], parts[1::2], strict=False))
    found = [named.get(name) for name in ("subscriptions", "resourcegroups", "workspaces")]
    return "/".join(part for part in found if part) if all(found) else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function for function in (gathered, parsed_properties, alerts_of, mail_of, workspace_of)
}
