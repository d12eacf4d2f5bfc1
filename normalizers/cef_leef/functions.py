"""What CEF and LEEF lines leave to their reader: an id where there is none, and what stands under labels."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from nightdesk.normalizers.cef_leef.ends import (
    at,
    attacks,
    fields_of,
    host,
    level,
    lonely,
    site,
    suffers,
    texts_at,
    unnamed,
    unnamed_device,
)
from nightdesk.normalizers.cef_leef.times import instant, undated, zoned
from nightdesk.stix import values

__all__ = ["FUNCTIONS"]

_LONGEST: Final = 100
_HASH_LABEL: Final = re.compile(
    r"(?:file)?(?:md5|sha1|sha256|sha512)(?:hash|sum)?|(?:file)?hash|\w{0,20}analyticscksum"
)
_MALWARE_LABEL: Final = re.compile(r"(?:virus|malware|threat)(?:name)?|detectionname")
_ATTACK_LABEL: Final = re.compile(r"mitre|att&?ck|technique|tactic|ttp")
_TECHNIQUE: Final = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")
_TACTIC: Final = re.compile(r"\bTA\d{4}\b")
_CVE: Final = re.compile(r"CVE-\d{4}-\d{4,7}", re.IGNORECASE)
_NAMELESS: Final = frozenset({"none", "n/a", "null", "unknown", "clean", "no", "false", "0"})


def digest(record: Any) -> str:
    """A digest of the whole line: what the id is when the vendor gives none; the same line again is the same alert."""
    text = json.dumps(record, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()}"


def line_id(record: Any) -> str:
    """``externalId``, else the manager's ``eventId``, else a digest; Fortinet puts the session's number there."""
    own = fields_of(record)
    session = str(at(record, "cef", "device_vendor")).lower() == "fortinet"
    for key in ("externalId", "eventId"):
        found = own.get(key)
        if isinstance(found, str) and found.strip(" 0-") and not (session and key == "externalId"):
            return found.strip()
    return digest(record)


def reporter(record: Any) -> str | None:
    """Whose event it is: vendor and product, and the device that speaks; ids are unique there and nowhere wider."""
    header = at(record, "cef") or at(record, "leef")
    words = [at(header, key) for key in ("device_vendor", "vendor", "device_product", "product")]
    device = next(texts_at(record, ("dvchost", "deviceHostName", "devName", "dvc", "deviceExternalId")), None)
    device = device or at(record, "syslog", "host")
    named = " ".join(word for word in words if isinstance(word, str))
    return f"{named} ({device})" if isinstance(device, str) and named else named or None


def _labelled(record: Any, label: re.Pattern[str], *, whole: bool = True) -> Iterator[str]:
    for key, value in fields_of(record).items():
        word = re.sub(r"[^a-z0-9&]", "", key.lower()[:_LONGEST])
        if isinstance(value, str) and (label.fullmatch(word) if whole else label.search(word)):
            yield value


def hashes(record: Any) -> list[str]:
    """The file's hashes: ``fileHash``, and what stands under a label such as ``sha256`` or ``File Hash``."""
    return list(dict.fromkeys(text.strip() for text in _labelled(record, _HASH_LABEL) if values.hash_name(text)))


def malware_name(record: Any) -> str | None:
    """The malware that the line names under a label such as ``Virus`` or ``Threat Name``."""
    found = (text.strip() for text in _labelled(record, _MALWARE_LABEL))
    return next((text for text in found if text and text.lower() not in _NAMELESS), None)


def whole_path(record: Any) -> str | None:
    """The file's path with its name behind it, where the vendor keeps the two apart."""
    path, name = next(texts_at(record, ("filePath",)), None), next(texts_at(record, ("fname",)), None)
    if path is None or name is None or path.endswith(name):
        return path
    return path + ("" if path.endswith(("/", "\\")) else "\\" if "\\" in path else "/") + name


def attack_ids(record: Any) -> list[str]:
    """ATT&CK techniques and tactics under a label that names them."""
    text = " ".join(_labelled(record, _ATTACK_LABEL, whole=False))
    return list(dict.fromkeys(_TECHNIQUE.findall(text)))


def tactic_ids(record: Any) -> list[str]:
    """ATT&CK tactics under a label that names them."""
    return list(dict.fromkeys(_TACTIC.findall(" ".join(_labelled(record, _ATTACK_LABEL, whole=False)))))


def cves(record: Any) -> list[str]:
    """Every CVE that a field of the line is, or lists."""
    found = (match for value in fields_of(record).values() if isinstance(value, str) for match in _CVE.findall(value))
    return list(dict.fromkeys(match.upper() for match in found))


def real(value: Any) -> str | None:
    """A name that is one; vendors write ``none`` or ``N/A`` where there is nobody."""
    return value if isinstance(value, str) and value.strip().lower() not in _NAMELESS else None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        digest, line_id, reporter, zoned, instant, undated, level, attacks, suffers, host, site, unnamed, lonely,
        unnamed_device, real, hashes, malware_name, whole_path, attack_ids, tactic_ids, cves,
    )
}  # fmt: skip
