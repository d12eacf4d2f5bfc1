"""What simulated Microsoft calls things: times, ids and hashes that follow from a story's own names."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

__all__ = ["DOMAIN", "PLATFORMS", "digits", "guid", "machine_id", "sha1_of", "timestamp"]

DOMAIN = "corp.example.com"
PLATFORMS: Mapping[tuple[str, str], str] = {
    ("Windows", "workstation"): "Windows11",
    ("Windows", "server"): "WindowsServer2022",
    ("Linux", "workstation"): "Linux",
    ("Linux", "server"): "Linux",
    ("macOS", "workstation"): "macOS",
    ("macOS", "server"): "macOS",
}


def timestamp(moment: datetime) -> str:
    """Microsoft's time text with 100 nanoseconds; the last digit follows from the rest, so equal times stay equal."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S.%f}{utc.microsecond * 7 % 10}Z"


def digits(seed: str, count: int) -> str:
    """That many hexadecimal digits, the same for the same seed."""
    return hashlib.sha256(seed.encode()).hexdigest()[:count]


def guid(seed: str) -> str:
    """A GUID, the same for the same seed."""
    text = digits(seed, 32)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def machine_id(device_id: str) -> str:
    """Defender's own id of a story's device: 40 hexadecimal digits."""
    return digits(f"machine {device_id}", 40)


def sha1_of(sha256: str) -> str:
    """The SHA-1 that a story's file has beside the SHA-256 it names."""
    return digits(f"sha1 {sha256.lower()}", 40)
