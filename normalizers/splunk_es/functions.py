"""What a Splunk row says with several fields at once: which names are one machine, and on whose side each end stands.

``src`` and ``dest`` hold a host name or an address, ``<end>_nt_host``, ``<end>_dns`` and ``<end>_ip`` more of the same
end; any of them holds one value or a list.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nightdesk.stix import values
from nightdesk.stix.functions import address_id

__all__ = ["FUNCTIONS"]

# How add-ons and the Common Information Model fill a field that has no value.
_FILLERS: Final = frozenset({"", "-", "unknown", "n/a", "none", "null", "nil"})
_TECHNIQUE: Final = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")
_SEEN: Final = ("tag", "orig_tag", "search_name", "rule_name", "source")


def _listed(row: Any, *keys: str) -> list[str]:
    if not isinstance(row, dict):
        return []
    found: list[str] = []
    for key in keys:
        value = row.get(key)
        if value is None:
            continue
        for item in value if isinstance(value, list) else (value,):
            text = item.strip() if isinstance(item, str) else ""
            if text.lower() not in _FILLERS:
                found.append(text)
    return found


def _short(name: str) -> str:
    return name.partition(".")[0].lower()


def _names(row: Any, end: str) -> dict[str, str]:
    """Every machine of one end, by its short name; the name of the row itself before those of the asset lookup."""
    found = [name for name in _listed(row, end, f"{end}_host", f"{end}_nt_host") if not values.address(name)]
    if not found:
        found = [name for name in _listed(row, f"{end}_dns") if not values.address(name)]
    return {_short(name): name for name in reversed(found)}


def _addresses(row: Any, end: str) -> list[str]:
    found = (values.address(text) for text in _listed(row, end, f"{end}_ip"))
    return list(dict.fromkeys(pair[1] for pair in found if pair))


def _outward(row: Any) -> bool:
    """Whether one of the company's own machines calls something that is none: the far end is then the destination."""
    return bool(_names(row, "src")) and not _names(row, "dest") and bool(_addresses(row, "dest"))


def known(value: Any) -> str | None:
    """The value, unless it is a word for having none."""
    return value if isinstance(value, str) and value.strip().lower() not in _FILLERS else None


def further(row: Any, field: str) -> list[str]:
    """All values of a field but the first."""
    return list(dict.fromkeys(_listed(row, field)))[1:]


def victim(row: Any) -> str | None:
    """The machine the row is about: the destination's."""
    return next(reversed(_names(row, "dest").values()), None)


def victims(row: Any) -> list[str]:
    """Its further machines."""
    return list(reversed(_names(row, "dest").values()))[1:]


def caller(row: Any) -> str | None:
    """The company's machine that calls out."""
    return next(reversed(_names(row, "src").values()), None) if _outward(row) else None


def sources(row: Any) -> list[str]:
    """The machines from which another machine was reached."""
    if _outward(row):
        return []
    known_names = _names(row, "dest")
    return [name for short, name in reversed(_names(row, "src").items()) if short not in known_names]


def far(row: Any) -> list[str]:
    """Addresses of the end that is no machine of the company."""
    if _outward(row):
        return _addresses(row, "dest")
    return [] if _names(row, "src") else _addresses(row, "src")


def near(row: Any) -> list[str]:
    """All other addresses."""
    every = [*_addresses(row, "dest"), *_addresses(row, "src")]
    away = far(row) if every else []
    return [text for text in every if text not in away]


def flow(row: Any, end: str) -> str | None:
    """The address at one end of the connection; of several, the first of the family that both ends have."""
    ends = {name: _addresses(row, name) for name in ("src", "dest")}
    if not ends[end]:
        return None
    families = [{":" in text for text in found} for found in ends.values() if found]
    shared = set.intersection(*families) if families else set()
    return next((address_id(text) for text in ends[end] if (":" in text) in shared), None)


def malware_names(row: Any) -> list[str]:
    """Signatures, where the row is about malware; elsewhere the same field names any kind of event."""
    found = _listed(row, "signature")
    return found if found and "malware" in " ".join(_listed(row, *_SEEN)).lower() else []


def own_hashes(row: Any) -> list[str]:
    """The hashes of the file, where file and process are the same file."""
    found = _listed(row, "file_hash", "hash")
    return found if found and one_file(row) else []


def one_file(row: Any) -> bool | None:
    """Whether the row's file is the image of its process."""
    paths, names = set(_listed(row, "file_path")), set(_listed(row, "file_name"))
    if not paths and not names:
        return None
    images, programs = set(_listed(row, "process_path")), set(_listed(row, "process_name"))
    same = bool(paths & images) or (not paths and bool(names & programs))
    return True if same else None


def of_kind(row: Any, field: str, kind: str) -> list[str]:
    """The values of ``field`` whose ``<field>_type`` is ``kind``; one type may stand for all of them."""
    found = _listed(row, field)
    kinds = [text.lower() for text in _listed(row, f"{field}_type")] if found else []
    if len(kinds) != len(found):
        kinds = kinds[:1] * len(found) if len(set(kinds)) == 1 else []
    return [text for text, own in zip(found, kinds, strict=False) if own == kind]


def if_mail(value: Any) -> str | None:
    """The value when it is a mail address."""
    return values.email(value) if isinstance(value, str) else None


def if_login(value: Any) -> str | None:
    """The value when it is an account and no mail address."""
    return None if if_mail(value) else known(value)


def if_url(value: Any) -> str | None:
    """The value when it is an absolute URL; proxies also write parts of one."""
    return values.url(value) if isinstance(value, str) else None


def if_category(value: Any) -> str | None:
    """The tag, unless it only says that this is a notable."""
    return None if value in {"notable", "modnotable", "risk"} else known(value)


def place(row: Any) -> str | None:
    """Where the event lies in its index; the only id of a row that went through no macro."""
    buckets, offsets = _listed(row, "_bkt"), _listed(row, "_cd")
    return f"{buckets[0]}:{offsets[0]}" if buckets and offsets else None


def if_time(value: Any) -> str | None:
    """The value when it is a moment; searches also format times for people, without a zone."""
    return value if isinstance(value, str) and values.parse_time(value) else None


def technique_ids(value: Any) -> list[str]:
    """ATT&CK ids out of a text or a JSON text."""
    return _TECHNIQUE.findall(value) if isinstance(value, str) else []


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        known, further, victim, victims, caller, sources, far, near, flow, malware_names, own_hashes, one_file,
        of_kind, if_mail, if_login, if_url, if_category, place, if_time, technique_ids,
    )
}  # fmt: skip
