"""Renders a story as the event that a sharing community would make of an alert, with its one attribute."""

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.targets import Target
from nightdesk.sdk.testing import StoryAlert

__all__ = ["observable_of", "seconds", "uuid_of"]


def seconds(moment: datetime) -> int:
    """A time as MISP keeps it."""
    return int(moment.timestamp())


def uuid_of(text: str) -> str:
    """A UUID that follows from a text."""
    return str(uuid5(NAMESPACE_URL, f"simulated misp {text}"))


def observable_of(alert: StoryAlert) -> Target:
    """What the indicator is about: the alert's file, else its address, else its domain."""
    digest = alert.convicted_sha256 or (alert.process.sha256 if alert.process else "")
    if digest:
        return Target(TargetKind.FILE, digest)
    if alert.destination_address or alert.source_address:
        return Target(TargetKind.ADDRESS, alert.destination_address or alert.source_address)
    return Target(TargetKind.DOMAIN, alert.domain or "unknown.example")
