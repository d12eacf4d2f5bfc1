"""Deterministic STIX ids: observables exactly as python-stix2 computes them, everything else keyed by tenant.

Observables: RFC 8785 JSON of the contributing properties, UUIDv5 in the OASIS namespace (STIX 2.1 section 2.9).
Others: BLAKE2b-128 with the tenant's key over the JSON of ``[type, *parts]``, in the shape of a version 4 UUID, so that
re-ingest gives the same id and nobody can test guesses across tenants.
"""

import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

__all__ = ["KEY_BYTES", "TenantKey", "observable_id", "value_id"]

KEY_BYTES = 32
_NAMESPACE = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7").bytes
_SEED = hashlib.sha1(_NAMESPACE, usedforsecurity=False)
_VALUE_SEED = _SEED.copy()
_VALUE_SEED.update(b'{"value":')
_PERSON = b"nightdesk.stix.1"
_SORTED = orjson.OPT_SORT_KEYS
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_HEX_KEY = re.compile(r"^[0-9a-fA-F]{64}$")


def observable_id(kind: str, contributing: Mapping[str, Any]) -> str:
    """The id of an observable from its contributing properties (cleaned, non-empty, no floats)."""
    digest = _SEED.copy()
    digest.update(orjson.dumps(contributing, option=_SORTED))
    text = digest.hexdigest()
    return f"{kind}--{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def value_id(kind: str, value: str) -> str:
    """``observable_id`` of what has one contributing property, ``value``: an address, a name, a URL."""
    digest = _VALUE_SEED.copy()
    digest.update(orjson.dumps(value) + b"}")
    text = digest.hexdigest()
    return f"{kind}--{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


class TenantKey:
    """A tenant's 32 secret bytes, made once and never changed: all its ids depend on them."""

    __slots__ = ("_seed", "fingerprint")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a tenant key has {KEY_BYTES} bytes, this one {len(key)}")
        self._seed = hashlib.blake2b(digest_size=16, key=key, person=_PERSON)
        self.fingerprint = hashlib.sha256(key).hexdigest()[:12]

    @classmethod
    def from_text(cls, text: str) -> "TenantKey":
        """A key written as 64 hexadecimal digits."""
        if not _HEX_KEY.match(text.strip()):
            raise ValueError("a tenant key is written as 64 hexadecimal digits")
        return cls(bytes.fromhex(text.strip()))

    @classmethod
    def derived(cls, tenant: str) -> "TenantKey":
        """The key used without configuration; anybody who knows the name can derive it, so its user says so."""
        return cls(hashlib.blake2b(tenant.encode(), digest_size=KEY_BYTES, person=b"nightdesk.key.1").digest())

    def secret(self, purpose: str) -> bytes:
        """Sixteen secret bytes for that purpose; no id says anything about them, for ids begin with a bracket."""
        digest = self._seed.copy()
        digest.update(b"secret\0" + purpose.encode())
        return digest.digest()

    def id(self, kind: str, *parts: Any) -> str:
        """The id of one object of that type; ``parts`` are JSON values."""
        digest = self._seed.copy()
        digest.update(orjson.dumps((kind, *parts)))
        text = digest.hexdigest()
        return f"{kind}--{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"
