"""Renders a story as the console would: an offense, the addresses and the rule it points at, and its events.

An offense is indexed by one thing and names little else; processes, files and techniques stand in its events alone.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

from nightdesk.sdk.testing import StoryAlert
from nightdesk.sdk.testing.story import TACTIC_NAMES

__all__ = ["Story", "milliseconds"]

_MAGNITUDE = {"informational": 0, "low": 2, "medium": 5, "high": 8, "critical": 10}
_SOURCE_IP, _USERNAME, _HOST_NAME, _RULE = 0, 3, 7, 14
_INSIDE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
_OWN = "Net-10-172-192.Net_10_0_0_0"
_ENGINE = {"id": 63, "name": "Custom Rule Engine-8 :: qradar", "type_id": 18, "type_name": "EventCRE"}
_LOG_SOURCES = {"Windows": (12, "WindowsAuthServer"), "Linux": (11, "LinuxServer"), "macOS": (102, "AppleOSX")}


def milliseconds(moment: datetime) -> int:
    """The console's time: milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def _id(*parts: str) -> int:
    """A number that follows from what it is of."""
    return int.from_bytes(sha256("\x00".join(parts).encode()).digest()[:3]) + 1


class Story:
    """One alert of a story as this console tells it; ``site`` makes the ids this console's own."""

    def __init__(self, alert: StoryAlert, site: str) -> None:
        self.alert = alert
        self._site = site
        device = alert.device
        self.source = alert.source_address or (device.addresses[0] if device and device.addresses else "")
        self.destination = alert.destination_address
        if device and device.addresses and alert.source_address and not self.destination:
            self.destination = device.addresses[0]

    @property
    def rule(self) -> dict[str, Any]:
        """The rule of analytics/rules that made the offense."""
        return {
            "id": 100_000 + _id("rule", self.alert.rule_id) % 100_000,
            "name": self.alert.title,
            "type": "EVENT",
            "enabled": True,
            "owner": "admin",
            "origin": "USER",
            "identifier": self.alert.rule_id,
        }

    def addresses(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The rows of source_addresses and local_destination_addresses; None for one that there is not."""
        made = []
        for name, value in (("source_ip", self.source), ("local_destination_ip", self._local)):
            row = {
                "id": _id(self._site, name, value),
                name: value,
                "domain_id": 0,
                "network": self._network(value),
                "magnitude": 1,
                "event_flow_count": 1,
            }
            made.append(row if value else None)
        return made[0], made[1]

    def offense(self, offense_id: int) -> dict[str, Any]:
        """The offense as the list shows it."""
        alert = self.alert
        source, local = self.addresses()
        kind, indexed = self._index()
        told, remote = milliseconds(alert.told), bool(self.destination) and not self._local
        rating = _MAGNITUDE[alert.severity]
        return {
            "id": offense_id,
            "description": f"{alert.title}\n",
            "assigned_to": None,
            "categories": self._categories(),
            "category_count": len(self._categories()),
            "policy_category_count": 0,
            "security_category_count": 1,
            "close_time": None,
            "closing_user": None,
            "closing_reason_id": None,
            "credibility": 3,
            "relevance": 4,
            "severity": rating,
            "magnitude": rating,
            "destination_networks": ["other" if remote else _OWN],
            "source_network": self._network(self.source),
            "device_count": 2,
            "event_count": 1,
            "flow_count": 0,
            "inactive": False,
            "last_updated_time": told,
            "local_destination_count": int(local is not None),
            "offense_source": indexed,
            "offense_type": kind,
            "protected": False,
            "follow_up": False,
            "remote_destination_count": int(remote),
            "source_count": int(source is not None),
            "start_time": milliseconds(alert.at),
            "status": "OPEN",
            "username_count": int(bool(alert.user)),
            "source_address_ids": [source["id"]] if source else [],
            "local_destination_address_ids": [local["id"]] if local else [],
            "domain_id": 0,
            "last_persisted_time": told,
            "first_persisted_time": told,
            "rules": [{"id": self.rule["id"], "type": "CRE_RULE"}],
            "log_sources": [_ENGINE, *self._log_sources()],
        }

    def event(self) -> Mapping[str, Any]:
        """The event behind the offense, as Ariel keeps it."""
        alert, process = self.alert, self.alert.process
        return {
            "starttime": milliseconds(alert.at),
            "devicetime": milliseconds(alert.at),
            "sourceip": self.source or "0.0.0.0",  # noqa: S104  # how Ariel writes no address
            "destinationip": self.destination or "0.0.0.0",  # noqa: S104  # the same
            "sourceport": alert.source_port or 0,
            "destinationport": alert.destination_port or 0,
            "username": alert.user or None,
            "hostname": alert.device.hostname if alert.device else None,
            "severity": _MAGNITUDE[alert.severity],
            "qidname": alert.title,
            "Process CommandLine": process.command_line if process else None,
            "Process Path": process.path if process else None,
            "SHA256 Hash": process.sha256 if process else None,
            "MITRE Technique": ", ".join(alert.technique_ids) or None,
        }

    @property
    def _local(self) -> str:
        """The destination, if it is in the company's networks."""
        device = self.alert.device
        own = device is not None and self.destination in device.addresses
        private = bool(self.destination) and any(ip_address(self.destination) in network for network in _INSIDE)
        return self.destination if own or private else ""

    def _network(self, address: str) -> str:
        device = self.alert.device
        return _OWN if device and address in device.addresses else "other"

    def _index(self) -> tuple[int, str]:
        """What the offense is indexed by: the host, else the user, else the address, else the rule."""
        alert = self.alert
        if alert.device is not None:
            return _HOST_NAME, alert.device.hostname
        if alert.user:
            return _USERNAME, f"{alert.user_domain}\\{alert.user}" if alert.user_domain else alert.user
        return (_SOURCE_IP, self.source) if self.source else (_RULE, alert.title)

    def _categories(self) -> list[str]:
        return [TACTIC_NAMES.get(name, name) for name in self.alert.tactic_ids] or ["Suspicious Activity"]

    def _log_sources(self) -> list[dict[str, Any]]:
        device = self.alert.device
        if device is None:
            return []
        number, name = _LOG_SOURCES[device.platform]
        source = f"{name} @ {device.hostname}"
        return [{"id": _id(self._site, source), "name": source, "type_id": number, "type_name": name}]
