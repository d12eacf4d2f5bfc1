"""CrowdStrike Falcon over its OAuth2 API: alerts, containment, commands on hosts, scans, quarantine, indicators."""

from nightdesk.connectors.crowdstrike_falcon.connector import Connector

__all__ = ["Connector"]
