"""Where VirusTotal keeps a thing: its collection, its id there, and its page for people."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass

from nightdesk.connectors.virustotal.privacy import Privacy
from nightdesk.sdk.errors import UnsupportedError
from nightdesk.sdk.kinds import TargetKind
from nightdesk.sdk.targets import Target

__all__ = ["Place", "place_of", "url_id"]

_GUI = "https://www.virustotal.com/gui"


@dataclass(frozen=True, slots=True)
class Place:
    """One object of the API."""

    collection: str
    object_id: str
    link: str


def place_of(target: Target, privacy: Privacy) -> Place | None:
    """The object that a target is; None when it must not be sent. Raises UnsupportedError for what has none."""
    value = target.value
    match target.kind:
        case TargetKind.FILE:
            digest = value.partition(":")[2]
            return Place("files", digest, f"{_GUI}/file/{digest}")
        case TargetKind.ADDRESS:
            if "/" in value:
                raise UnsupportedError(f"virustotal: {target.key} is a network; only single addresses are known there")
            place = Place("ip_addresses", value, f"{_GUI}/ip-address/{value}")
            return place if privacy.allows_address(value) else None
        case TargetKind.DOMAIN:
            return Place("domains", value, f"{_GUI}/domain/{value}") if privacy.allows_name(value) else None
        case TargetKind.URL:
            place = Place("urls", url_id(value), f"{_GUI}/search/{url_id(value)}")
            return place if privacy.allows_url(value) else None
    raise UnsupportedError(f"virustotal: nothing is known of {target.key}; only address, domain, url and file")


def url_id(url: str) -> str:
    """The id of a URL: its base64 for URLs, without padding."""
    return urlsafe_b64encode(url.encode()).decode().rstrip("=")
