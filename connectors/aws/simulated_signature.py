"""The simulated AWS checks signatures: version 4, computed again from the request as it arrived.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from nightdesk.connectors.aws.wire import AwsError

__all__ = ["Credential", "Signed", "check", "service_of"]

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[\w]+)/(?P<day>\d{8})/(?P<region>[\w-]+)/(?P<service>[\w-]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[\w;.-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Credential:
    """One key that may sign; ``who`` is its ARN, ``token`` and ``until`` are those of a temporary one."""

    secret: str
    who: str
    token: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed, and for what."""

    key: str
    region: str
    service: str


def service_of(headers: Mapping[str, str]) -> str:
    """The service that the signature names, unchecked: in its protocol refusals are given."""
    found = _HEADER.fullmatch(headers.get("authorization", ""))
    return found["service"] if found else ""


def check(
    method: str,
    raw_path: str,
    query: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    keys: Mapping[str, Credential],
    now: datetime,
) -> Signed:
    """Who signed this request. Raises AwsError unless every part of it is as it was signed."""
    there: dict[str, list[str]] = {}
    for name, value in headers:
        there.setdefault(name.lower(), []).append(" ".join(value.split()))
    text = ",".join(there.get("authorization", []))
    if not text:
        raise AwsError("unsigned", "Missing Authentication Token")
    found = _HEADER.fullmatch(text)
    stamp = ",".join(there.get("x-amz-date", []))
    if found is None or not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise AwsError("bad signature", "Authorization header is not a complete signature version 4")
    credential = keys.get(found["key"])
    given = ",".join(there.get("x-amz-security-token", []))
    if credential is None or given != credential.token:
        raise AwsError("unknown key", "The security token included in the request is invalid.")
    names = found["headers"].split(";")
    required = {"host", *(name for name in there if name.startswith("x-amz-"))}
    if names != sorted(set(names)) or not required <= set(names) or not set(names) <= set(there):
        raise AwsError("bad signature", "SignedHeaders must name host and every x-amz- header, sorted")
    if found["day"] != stamp[:8]:
        raise AwsError("bad signature", "Date in Credential scope does not match the date of the request")
    signature = _signature(credential.secret, found, stamp, _canonical(method, raw_path, query, names, there, body))
    if not hmac.compare_digest(signature, found["signature"]):
        message = "The request signature we calculated does not match the signature you provided."
        raise AwsError("bad signature", message)
    moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if abs(moment - now) > _SKEW:
        word = "expired" if moment < now else "not yet current"
        raise AwsError("old signature", f"Signature {word}: {stamp} is more than 5 min. from {now:%Y%m%dT%H%M%SZ}")
    if credential.until is not None and credential.until <= now:
        raise AwsError("old token", "The security token included in the request is expired")
    return Signed(found["key"], found["region"], found["service"])


def _canonical(
    method: str, raw_path: str, query: str, names: Sequence[str], there: Mapping[str, Sequence[str]], body: bytes
) -> str:
    pairs = sorted(tuple(part.partition("=")[::2]) for part in query.split("&") if part)
    lines = [f"{name}:{','.join(there[name])}" for name in names]
    return "\n".join(
        [
            method,
            quote(raw_path, safe="/~-._"),  # encoded a second time, by every service but S3
            "&".join(f"{name}={value}" for name, value in pairs),
            *lines,
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
    )


def _signature(secret: str, found: re.Match[str], stamp: str, canonical: str) -> str:
    scope = f"{found['day']}/{found['region']}/{found['service']}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in (found["day"], found["region"], found["service"], "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), hashlib.sha256).hexdigest()
