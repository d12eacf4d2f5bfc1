"""Builds the observables with a content of their own: mail messages, certificates, registry keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from nightdesk.stix import values
from nightdesk.stix.ids import observable_id
from nightdesk.stix.observables import Observables

__all__ = ["Content"]

_HIVES = {
    "HKLM": "HKEY_LOCAL_MACHINE",
    "HKCU": "HKEY_CURRENT_USER",
    "HKCR": "HKEY_CLASSES_ROOT",
    "HKU": "HKEY_USERS",
    "HKCC": "HKEY_CURRENT_CONFIG",
}


class Content(Observables):
    """Observables of one alert, mail, certificates and registry keys among them."""

    def message(  # a message has this many properties
        self,
        *,
        subject: str | None = None,
        sender: str | None = None,
        to: Sequence[str | None] = (),
        cc: Sequence[str | None] = (),
        message_id: str | None = None,
        date: datetime | None = None,
    ) -> str | None:
        """A mail message, never its body: that is private, and would enter the id."""
        contributing: dict[str, Any] = {}
        origin = self._known("email-addr", sender)
        if origin:
            contributing["from_ref"] = origin
        if subject:
            contributing["subject"] = subject
        if not contributing:
            return None
        rest = {
            "is_multipart": False,
            "to_refs": self._mails(to),
            "cc_refs": self._mails(cc),
            "message_id": message_id,
            "date": date and values.clock_text(date),
        }
        return self._put("email-message", contributing, rest)

    def _mails(self, refs: Sequence[str | None]) -> list[str] | None:
        return list(dict.fromkeys(ref for ref in refs if ref and self._known("email-addr", ref))) or None

    def certificate(  # a certificate has this many properties
        self,
        *,
        hashes: Sequence[str | None] = (),
        serial: str | None = None,
        subject: str | None = None,
        issuer: str | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> str | None:
        """An X.509 certificate by its serial number or fingerprint."""
        digests = dict(found for text in hashes if text and (found := values.hash_name(text.replace(":", ""))))
        contributing: dict[str, Any] = {}
        if digests:
            contributing["hashes"] = {name: digests[name] for name in sorted(digests)}
        if serial:
            contributing["serial_number"] = serial
        if not contributing:
            return None
        keyed = dict(contributing)
        if digests:
            first = next(name for name in ("MD5", "SHA-1", "SHA-256", "SHA-512") if name in digests)
            keyed["hashes"] = {first: digests[first]}
        rest = {
            "subject": subject,
            "issuer": issuer,
            "validity_not_before": not_before and values.clock_text(not_before),
            "validity_not_after": not_after and values.clock_text(not_after),
        }
        return self._keep("x509-certificate", observable_id("x509-certificate", keyed), contributing, rest)

    def registry_key(
        self, key: str | None, *, name: str | None = None, data: str | None = None, data_type: str | None = None
    ) -> str | None:
        """A registry key with at most one value, its hive spelled out."""
        if not key:
            return None
        hive, cut, rest = key.lstrip("\\").partition("\\")
        if not hive:
            self.problem("/", "a registry key", key)
            return None
        contributing: dict[str, Any] = {"key": _HIVES.get(hive.upper(), hive) + cut + rest}
        value = {
            "name": name,
            "data": data,
            "data_type": data_type if data_type and data_type.startswith("REG_") else None,
        }
        given = {field: text for field, text in value.items() if text}
        if name or data:
            contributing["values"] = [given]
        return self._put("windows-registry-key", contributing)
