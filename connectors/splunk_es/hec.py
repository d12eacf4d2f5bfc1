"""HTTP Event Collector bodies: concatenated envelopes cut into the events' own bytes, with the collector's codes.

Codes and texts: https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector
"""

import base64
import binascii
import hmac
import zlib
from collections.abc import Mapping

from nightdesk.connectors.splunk_es.envelopes import Envelope, envelopes, parse
from nightdesk.connectors.splunk_es.notables import digest, record_of
from nightdesk.sdk.errors import AuthError, MappingError
from nightdesk.sdk.records import Batch, Failure, RawRecord
from nightdesk.sdk.secrets import Secret

__all__ = ["authenticate", "cut"]

MAX_BODY = 64 * 1024 * 1024
_ENVELOPE = frozenset({"time", "host", "source", "sourcetype", "index", "fields"})


def authenticate(headers: Mapping[str, str], token: Secret | None) -> None:
    """Raises AuthError with the collector's code unless a header carries the token (a query string never may)."""
    if token is None:
        raise _refused("Token disabled", 1, 403)
    kind, _, value = _header(headers, "authorization").strip().partition(" ")
    if not kind:
        raise _refused("Token is required", 2, 401)
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise _refused("Invalid authorization", 3, 401) from None
    elif kind.lower() != "splunk" or not value.strip():
        raise _refused("Invalid authorization", 3, 401)
    if not hmac.compare_digest(value.strip().encode(), token.reveal().encode()):
        raise _refused("Invalid token", 4, 403)


def cut(headers: Mapping[str, str], body: bytes) -> Batch:
    """One record an event. Raises MappingError when nothing can be read.

    As at the collector, what stands before a bad event is accepted; unlike there, what stands after it is kept too:
    as a record when the envelope is whole, else as the bytes of a failure.
    """
    try:
        text = _unpacked(headers, body).decode()
    except UnicodeDecodeError as error:
        raise MappingError("Invalid data format (HEC code 6): not UTF-8", pointer=f"@{error.start}") from None
    if not text.strip():
        raise MappingError("No data (HEC code 5)")
    records: list[RawRecord] = []
    failures: list[Failure] = []
    for number, envelope in enumerate(envelopes(text)):
        try:
            records.append(_record(envelope))
        except MappingError as error:
            reason = f"{error.reason}; invalid-event-number {number}"
            failure = MappingError(reason, pointer=error.pointer)
            failures.append(Failure(envelope.text.encode(), f"hec-{digest(envelope.text)}", failure, error.pointer))
    if not records:
        raise failures[0].error
    return Batch(records, None, failures)


def _record(envelope: Envelope) -> RawRecord:
    members = envelope.members
    if members is None:
        raise MappingError("Invalid data format (HEC code 6)")
    event, text = members.get("event", (None, ""))
    if not text:
        if members.keys() <= _ENVELOPE:
            raise MappingError("Event field is required (HEC code 12)")
        # A line for the collector's raw endpoint: the row stands there without an envelope.
        event, text = {name: value for name, (value, _) in members.items()}, envelope.text
    if isinstance(event, str):
        if not event.strip():
            raise MappingError("Event field cannot be blank (HEC code 13)")
        text = event
        try:
            event = parse(event)
        except (ValueError, RecursionError):
            raise MappingError("the event is text and not a notable's JSON (HEC code 6)", pointer="/event") from None
    if event in (None, {}):
        raise MappingError("Event field cannot be blank (HEC code 13)")
    if not isinstance(event, dict):
        raise MappingError("the event is no object (HEC code 6)", pointer="/event")
    try:
        return record_of(event, text.encode())
    except (TypeError, UnicodeEncodeError):
        raise MappingError("the event holds what JSON cannot carry (HEC code 6)", pointer="/event") from None


def _unpacked(headers: Mapping[str, str], body: bytes) -> bytes:
    coding = _header(headers, "content-encoding").strip().lower()
    if coding in {"", "identity"}:
        return body
    if coding != "gzip":
        raise MappingError(f"Invalid data format (HEC code 6): content encoding {coding[:20]!r} is not gzip")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, MAX_BODY)
    except zlib.error:
        raise MappingError("Invalid data format (HEC code 6): broken gzip") from None
    if not unpacker.eof:
        large = "larger than 64 MiB" if unpacker.unconsumed_tail else "gzip that breaks off"
        raise MappingError(f"Invalid data format (HEC code 6): {large}")
    return plain


def _refused(text: str, code: int, status: int) -> AuthError:
    return AuthError(f"{text} (HEC code {code})", vendor="splunk_es", operation="receive hec", status=status)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")
