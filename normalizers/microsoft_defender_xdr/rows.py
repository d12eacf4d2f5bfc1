"""Rows of the streaming API: paths in full, lists as lists, and a key for each piece of evidence."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from nightdesk.normalizers.microsoft_defender_xdr.evidence import is_loopback, is_outside, joined_path
from nightdesk.stix.prepare import PREPARE

__all__ = ["file_path", "hash_of", "row_read"]

# What tells one piece of evidence of an alert from another.
_TELLING: Final = (
    "SHA1", "SHA256", "RemoteIP", "LocalIP", "RemoteUrl", "AccountName", "AccountDomain", "AccountSid",
    "AccountObjectId", "AccountUpn", "DeviceId", "FileName", "FolderPath", "ProcessCommandLine", "NetworkMessageId",
    "OAuthApplicationId", "Application", "RegistryKey", "RegistryValueName", "ResourceID", "CloudResource",
)  # fmt: skip


def hash_of(hashes: Any, algorithm: str) -> str | None:
    """The hash of one algorithm of a list of hashes."""
    for entry in hashes if isinstance(hashes, list) else [hashes]:
        if isinstance(entry, dict) and str(entry.get("Algorithm")).upper() == algorithm:
            found = entry.get("Value")
            return found if isinstance(found, str) else None
    return None


def file_path(file: Any) -> str | None:
    """The path of a file entity in full."""
    return joined_path(file.get("Directory"), file.get("Name")) if isinstance(file, dict) else None


def row_read(document: dict[str, Any]) -> dict[str, Any]:
    """A row of the streaming API with its path in full, its lists as lists, and marks as other evidence has them."""
    row = document.get("properties")
    if not isinstance(row, dict):
        return document
    row = PREPARE["parse_json"](row, "AdditionalFields", "Categories", "AttackTechniques", "CloudResource")
    more = row.get("AdditionalFields")
    more = more if isinstance(more, dict) else {}
    made = {**row, "key": _key_of(row, more)}
    if path := joined_path(row.get("FolderPath"), row.get("FileName")):
        made["FolderPath"] = path
    verdicts = {str(more.get(name)).lower() for name in ("LastVerdict", "SuspicionLevel")}
    seen = row.get("RemoteIP") or row.get("RemoteUrl")
    kind = str(row.get("EntityType") or "").lower()
    if verdicts & {"malicious", "suspicious"} and (kind not in {"ip", "url"} or is_outside(seen)):
        made["judged"] = kind
    if "malicious" in verdicts:
        made["malicious"] = kind
    made["neutral"] = None if "judged" in made else kind
    for name in ("LocalIP", "RemoteIP"):
        made[f"{name}Loopback" if is_loopback(row.get(name)) else name] = row.get(name)
        if is_loopback(row.get(name)):
            made[name] = None
    return {**document, "properties": made}


def _key_of(row: Mapping[str, Any], more: Mapping[str, Any]) -> str | None:
    """Each piece of evidence is a record of its own: the alert's id with what tells this piece from the others."""
    alert = row.get("AlertId")
    if not isinstance(alert, str) or not alert or "EntityType" not in row:
        return alert if isinstance(alert, str) else None
    told = more.get("MergeByKeyHex")
    parts = [told] if told else [row.get(name) for name in _TELLING]
    digest = hashlib.sha256(repr([row.get("EntityType"), *map(str, parts)]).encode(errors="replace"))
    return f"{alert}:{digest.hexdigest()[:16]}"
