"""STIX patterns for the things that an indicator of ours is about: one comparison each."""

from ipaddress import ip_network

from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.targets import Target

__all__ = ["pattern_of"]

_HASHES = {"md5": "MD5", "sha1": "'SHA-1'", "sha256": "'SHA-256'"}


def pattern_of(target: Target) -> str:
    """The pattern that finds exactly this. Raises UnsupportedError for a kind that has none."""
    match target.kind:
        case TargetKind.ADDRESS:
            return _equals(f"ipv{ip_network(target.value).version}-addr:value", target.value)
        case TargetKind.DOMAIN:
            return _equals("domain-name:value", target.value)
        case TargetKind.URL:
            return _equals("url:value", target.value)
        case TargetKind.FILE:
            name, _, digest = target.value.partition(":")
            return _equals(f"file:hashes.{_HASHES[name]}", digest)
    raise UnsupportedError(f"taxii: no indicator is made about {target.key}; only address, domain, url and file")


def _equals(path: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"[{path} = '{quoted}']"
