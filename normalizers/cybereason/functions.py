"""Cybereason's malops: the crimes API's maps of values laid out, and what one field alone does not say."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.networks import is_outside

__all__ = ["FUNCTIONS"]

_NOTHING: Final = frozenset({"", "none", "null", "n/a", "-"})
_CREATED: Final = "1"
_ENDS: Final = re.compile(r"\[?([0-9A-Fa-f.:]+?)\]?:(\d{1,5})\s+>")
_PATH: Final = re.compile(r"[A-Za-z]:\\.|\\\\.|/.")


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""


def _lighter(element: Any) -> Any:
    """An element without the simple values that say its own name, id and flags again; its group stands beside them."""
    inner = element.get("simpleValues") if isinstance(element, dict) else None
    if not isinstance(inner, dict):
        return element
    own = {str(element.get(key)).lower() for key in ("guid", "name", "hasMalops", "hasSuspicions")}
    left: dict[str, Any] = {}
    made = {key: value for key, value in element.items() if key != "simpleValues"}
    for key, entry in inner.items():
        found = _dict(entry).get("values")
        single = found[0] if isinstance(found, list) and len(found) == 1 else None
        if key == "group" and single is not None and "group" not in made:
            made["group"] = single
        elif single is None or str(single).lower() not in own:
            left[key] = entry
    return {**made, "simpleValues": left} if left else made


def _elements(laid: dict[str, Any]) -> dict[str, Any]:
    """The elements, lightened, and of the causes only those that are not among the primary ones."""
    made = {key: [_lighter(item) for item in found] for key, found in laid.items()}
    primary = {_text(_dict(item).get("guid")) for item in made.get("primaryRootCauseElements", [])}
    if primary and "rootCauseElements" in made:
        others = [item for item in made["rootCauseElements"] if _text(_dict(item).get("guid")) not in primary]
        made = {key: value for key, value in made.items() if key != "rootCauseElements"}
        made.update({"rootCauseElements": others} if others else {})
    return made


def flattened(document: dict[str, Any]) -> dict[str, Any]:
    """``simpleValues`` as ``simple`` (name to value or values), ``elementValues`` as ``elements`` (name to list).

    Counts beside the lists go to ``totals``; what has another shape stays where it is.
    """
    made = dict(document)
    totals: dict[str, Any] = {}
    for source, name, inner in (("simpleValues", "simple", "values"), ("elementValues", "elements", "elementValues")):
        table = made.get(source)
        if not isinstance(table, dict):
            continue
        laid: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        for key, entry in table.items():
            if not isinstance(entry, dict) or not isinstance(entry.get(inner, []), list | None):
                kept[key] = entry
                continue
            found = entry.get(inner) or []
            if found:
                laid[key] = found[0] if name == "simple" and len(found) == 1 else found
            counts = {count: number for count, number in entry.items() if count != inner}
            if counts:
                totals[key] = counts
        del made[source]
        if laid:
            made[name] = _elements(laid) if name == "elements" else laid
        made.update({source: kept} if kept else {})
    return {**made, "totals": totals} if totals else made


def headline(document: Any) -> str | None:
    """What was found on what: a malop's own name is only that of its root cause."""
    given = _dict(document)
    cef, custom, simple = (_dict(given.get(key)) for key in ("cef", "custom", "simple"))
    kinds = given.get("detectionTypes")
    first = next((text for kind in kinds if (text := _text(kind))), "") if isinstance(kinds, list) else ""
    kind = first or _text(given.get("malopDetectionType")) or _text(simple.get("detectionType"))
    what = _text(given.get("displayName")) or _text(simple.get("rootCauseElementNames"))
    if cef:
        kind, what = _text(cef.get("name")), _text(custom.get("MalopDetectionType"))
    return ": ".join(part for part in (kind, what) if part) or None


def line_key(document: Any) -> str | None:
    """The id of a syslog line: the malop's own for its creation, for what is added to it that and what was added."""
    given = _dict(document)
    cef, custom, more = (_dict(given.get(key)) for key in ("cef", "custom", "extension"))
    malop = _text(custom.get("MalopId"))
    batch = _text(more.get("CybereasonCEFgeneratorBatchId1"))
    signature = _text(cef.get("signature_id"))
    if malop and signature == _CREATED:
        return malop
    own = malop or _text(more.get("externalId")) or batch
    if not own:
        return None
    names = ("CybereasonCEFgeneratorMachineGuid1", "dhost", "duser", "dst", "dpt", "request", "rt")
    added = "\x00".join((batch, _text(custom.get("processSha1")), *(_text(more.get(name)) for name in names)))
    digest = hashlib.blake2b(added.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return "/".join(part for part in (own, signature, digest) if part)


def real(value: Any) -> str | None:
    """A text, unless it is the word that stands for nothing; quotes around a command line are taken off."""
    text = _text(value)
    if text.lower() in _NOTHING:
        return None
    return (
        text.replace('\\"', '"')
        if not (text.startswith('"') and text.endswith('"') and text.count('"') == 2)
        else text[1:-1]
    )


def image_path(value: Any) -> str | None:
    """The full path at the beginning of a command line."""
    text = _text(value).replace('\\"', '"')
    path = text[1:].partition('"')[0] if text.startswith('"') else text.partition(" ")[0]
    return path if _PATH.match(path) else None


def _client(value: Any) -> tuple[str, str] | None:
    match = _ENDS.match(_text(value))
    return (match[1], match[2]) if match else None


def client_address(value: Any) -> str | None:
    """The address that began a connection, from ``192.0.2.1:50000 > 198.51.100.2:443``."""
    found = _client(value)
    return found[0] if found and values.address(found[0]) else None


def client_port(value: Any) -> str | None:
    """The port of the address that began a connection."""
    found = _client(value)
    return found[1] if found else None


def outside(value: Any) -> str | None:
    """The address, when it is not one of the company's own ranges."""
    found = values.address(_text(value))
    return found[1] if found and is_outside(found[1]) else None


def stated(document: dict[str, Any]) -> dict[str, Any]:
    """``machineStates``: sensor, connection and isolation by machine; whoever isolates wants to know them first.

    ``otherMachines``: owners of processes and connections that are not among the malop's machines.
    """
    machines = document.get("machines")
    made = []
    for machine in machines if isinstance(machines, list) else []:
        given = _dict(machine)
        sensor = _text(given.get("pylumId"))
        flags = [key for key in ("connected", "isolated") if isinstance(given.get(key), bool)]
        words = [*([f"sensor {sensor}"] if sensor else []), *(key if given[key] else f"not {key}" for key in flags)]
        if _text(given.get("displayName")) and words:
            made.append(f"{_text(given['displayName'])}: {', '.join(words)}")
    listed = {
        _text(_dict(machine).get("displayName")).lower() for machine in (machines if isinstance(machines, list) else [])
    }
    others: dict[str, str] = {}
    for key in ("processes", "processSuspects", "connections"):
        found = document.get(key)
        for item in found if isinstance(found, list) else []:
            owner = _text(_dict(item).get("ownerMachine"))
            if owner and owner.lower() not in listed:
                others.setdefault(owner.lower(), owner)
    more = {"machineStates": "; ".join(made)} if made else {}
    return {**document, **more, **({"otherMachines": list(others.values())} if others else {})}


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (flattened, headline, line_key, real, image_path, client_address, client_port, outside, stated)
}
