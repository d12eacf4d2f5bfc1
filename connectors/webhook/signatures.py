"""Is the sender who it should be? Signatures over time and body, or a token; compared in constant time.

Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

from nightdesk.sdk.context import Clock, Settings
from nightdesk.sdk.errors import AuthError, ConfigError, Problem

__all__ = ["Proof"]

_SECRETS = ("secret", "previous_secret")
_HEADERS = {
    "timestamped": "X-Nightdesk-Signature",
    "standard_webhooks": "webhook-signature",
    "token": "X-Webhook-Token",
}
_TIME = re.compile(r"[0-9]{1,12}")
_MANY = 20  # signatures in one request; senders give one a key while they change keys


class Proof:
    """One instance's scheme and secrets."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._scheme = settings.text("scheme", "timestamped")
        self._header = settings.text("header") or _HEADERS[self._scheme]
        self._window = settings.integer("replay_window", 300)
        if self._window <= 0:
            raise ConfigError([Problem("settings", "replay_window", "must be a positive number of seconds")])

    def check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises AuthError unless a header proves the sender; the message never says how near it was."""
        given = _of(headers, self._header)
        if not given:
            raise _refused(f"the header {self._header} is missing")
        if self._scheme == "token":
            kind, _, rest = given.partition(" ")
            token = rest.strip() if kind.lower() == "bearer" else given
            if not _any_equal([token.encode()], self.keys()):
                raise _refused(f"the token in {self._header} is not the configured one")
            return
        moment, signed, signatures = self._parts(headers, given, body)
        if not _any_equal(signatures, [hmac.digest(key, signed, hashlib.sha256) for key in self.keys()]):
            raise _refused(f"no signature in {self._header} fits the body: compare the secrets on both sides")
        # Only now: an unsigned request learns nothing of our clock.
        apart = abs(self._clock().timestamp() - moment)
        if apart > self._window:
            raise _refused(f"the signature is {apart:.0f} s away from our clock, {self._window} are allowed")

    def keys(self) -> list[bytes]:
        """The secrets as bytes, the present one first. Raises ConfigError."""
        return [self._key(name) for name in _SECRETS if name == "secret" or self._settings.has(name)]

    def _key(self, name: str) -> bytes:
        text = self._settings.secret(name).reveal()
        if self._scheme != "standard_webhooks":
            return text.encode()
        try:
            return base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            problem = Problem("settings", name, "is no base64 text, with or without whsec_ before it")
            raise ConfigError([problem]) from None

    def _parts(self, headers: Mapping[str, str], given: str, body: bytes) -> tuple[int, bytes, list[bytes]]:
        """(seconds since 1970, the bytes that were signed, the signatures given)."""
        if self._scheme == "standard_webhooks":
            name, time = _of(headers, "webhook-id"), _of(headers, "webhook-timestamp")
            pairs = [part.partition(",") for part in given.split(" ")[:_MANY]]
            signatures = [_unpacked(value) for version, _, value in pairs if version == "v1"]
            signed = f"{name}.{time}.".encode() + body
        else:
            fields = [part.strip().partition("=") for part in given.split(",")[:_MANY]]
            time = next((value for key, _, value in fields if key == "t"), "")
            name = time
            signatures = [_unpacked(value, hexadecimal=True) for key, _, value in fields if key == "v1"]
            signed = f"{time}.".encode() + body
        if not name or not _TIME.fullmatch(time):
            raise _refused(f"{self._header} does not say when the body was signed")
        return int(time), signed, signatures


def _unpacked(text: str, *, hexadecimal: bool = False) -> bytes:
    try:
        return bytes.fromhex(text) if hexadecimal else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _any_equal(given: Iterable[bytes], wanted: Iterable[bytes]) -> bool:
    """Every pair is compared, so that the time taken tells nothing."""
    there = list(wanted)
    return sum(hmac.compare_digest(one, other) for one in given for other in there) > 0


def _refused(why: str) -> AuthError:
    return AuthError(why, vendor="webhook", operation="receive posts", status=401)


def _of(headers: Mapping[str, str], name: str) -> str:
    return next((value.strip() for key, value in headers.items() if key.lower() == name.lower()), "")
